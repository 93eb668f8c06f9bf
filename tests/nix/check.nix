# One case for run.sh: null if it passes, else what was expected and what came.
# A case that is to fail has `error` in place of `expected`; run.sh looks for
# its parts in what Nix prints.
{
  file,
  name,
}:
let
  case = (import file).${name};
  got = builtins.toJSON case.expr;
  expected = builtins.toJSON case.expected;
in
if case ? error then
  builtins.deepSeq case.expr "evaluated"
else if got == expected then
  null
else
  { inherit expected got; }
