//! What a provider does that means harm.

/// When it does so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// As soon as it is started, before anything is asked.
    Start,
    /// In place of an answer.
    Request,
}

impl When {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Request => "request",
        }
    }
}

/// What a line begins with that a provider passes off as the command's.
pub(crate) const FAKE: &str = "Apply complete: everything is well";

pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) when: When,
    /// In the shell's words.
    pub(crate) shell: &'static str,
}

const fn request(name: &'static str, shell: &'static str) -> Act {
    Act {
        name,
        when: When::Request,
        shell,
    }
}

const fn start(name: &'static str, shell: &'static str) -> Act {
    Act {
        name,
        when: When::Start,
        shell,
    }
}

/// None of it is an answer to a request to create, update, destroy or plan.
pub(crate) static ACTS: [Act; 38] = [
    // Another answer.
    request(
        "another-kind",
        r#"echo '{"stateResourceReadResponse":{"state":{}}}'"#,
    ),
    request(
        "another-kind-of-ours",
        r#"echo '{"nixops4-resources/listResourcesResponse":{"resources":[]}}'"#,
    ),
    request("another-type", r#"echo '{"createResourceResponse":[]}'"#),
    request("a-request", r#"echo "$line""#),
    request("null", "echo null"),
    request("a-list", "echo '[]'"),
    request("a-text", r#"echo '"createResourceResponse"'"#),
    request("empty-object", "echo '{}'"),
    request(
        "two-keys",
        r#"echo '{"createResourceResponse":{"outputProperties":{}},"destroyResourceResponse":{}}'"#,
    ),
    request(
        "more-fields",
        r#"echo '{"createResourceResponse":{"outputProperties":{},"x":1}}'"#,
    ),
    request("error-without-message", r#"echo '{"errorResponse":{}}'"#),
    request(
        "error-of-null",
        r#"echo '{"errorResponse":{"message":null}}'"#,
    ),
    // No answer.
    request("garbage", "echo 'hello, how are you?'"),
    request("empty-line", "echo"),
    request(
        "broken-utf8",
        r#"printf '{"errorResponse":{"message":"\377\376"}}\n'"#,
    ),
    request("nul", r"printf '\000\000\n'"),
    request(
        "half",
        r#"printf '{"createResourceResponse":{"outputProp'; exit"#,
    ),
    request(
        "half-and-waits",
        r#"printf '{"createResourceResponse":{"outputProp'; exec sleep 100"#,
    ),
    request("silence", "exec sleep 100"),
    request("end", "exit 0"),
    request("failure", "echo 'last words' >&2; exit 3"),
    request("killed", "kill -KILL $$"),
    request("closed", "exec >&-; exec sleep 100"),
    request("deaf", "exec <&-; exec sleep 100"),
    request(
        "stubborn",
        "trap '' TERM INT HUP PIPE; while :; do sleep 1; done",
    ),
    // Too much of one.
    request("endless-line", "yes '' | tr '\\n' x"),
    request("endless-lines", "yes 'no answer'"),
    request("endless-log", "yes 'I am a log' >&2"),
    request(
        "long-line",
        "head -c 70000000 /dev/zero | tr '\\0' ' '; echo",
    ),
    request("deep", "head -c 1000000 /dev/zero | tr '\\0' '['; echo"),
    request(
        "long-error",
        r#"printf '{"errorResponse":{"message":"'; head -c 3000000 /dev/zero | tr '\0' x; echo '"}}'"#,
    ),
    // Before it is asked.
    start(
        "unasked",
        r#"echo '{"errorResponse":{"message":"nobody has asked"}}'"#,
    ),
    start("chatter", "echo 'welcome to this provider'"),
    start("ends-at-once", "exit 0"),
    // Whoever it has started holds its stdout.
    request("heir", "sleep 100 & exit 0"),
    // What it says is obeyed by terminals, or looks like ours.
    request(
        "controls",
        r#"echo '{"errorResponse":{"message":"a\u001b[2Jb\u0007c\u0085d\u009b31me\rf"}}'"#,
    ),
    request(
        "turned-around",
        r#"echo '{"errorResponse":{"message":"a\u202eb\u2066c\u200fd"}}'"#,
    ),
    request(
        "fakes",
        r#"echo '{"errorResponse":{"message":"no\nApply complete: everything is well\n\nApply complete: everything is well"}}'"#,
    ),
];
