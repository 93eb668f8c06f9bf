# Cleans up after a test process once its end of the pipe on stdin closes.
# $1: its temporary folder. Orders, one a line:
#   end SIGNAL:TARGET     signal TARGET (a process, or -GROUP) at the end
#   forget SIGNAL:TARGET  it has ended
#   remove FOLDER         remove this one as well
trap '' HUP INT QUIT TERM PIPE

targets=' '
while read -r order rest; do
  case $order in
    end) targets="$targets$rest " ;;
    forget) targets="${targets%% "$rest" *} ${targets#* "$rest" }" ;;
    remove) set -- "$@" "$rest" ;;
  esac
done

for entry in $targets; do
  kill -s "${entry%%:*}" -- "${entry#*:}"
  # A stopped process would take no other signal.
  kill -s CONT -- "${entry#*:}"
done

# A process that is ending may still write, so once is not always enough.
tries=0
while [ "$tries" -lt 200 ]; do
  tries=$((tries + 1))
  rm -rf -- "$@"
  left=
  for folder; do
    [ ! -e "$folder" ] || left=yes
  done
  for entry in $targets; do
    ! kill -s 0 -- "${entry#*:}" || left=yes
  done
  [ -n "$left" ] || exit 0
  if [ "$tries" -eq 100 ]; then
    for entry in $targets; do
      kill -s KILL -- "${entry#*:}"
    done
  fi
  sleep 0.05
done
exit 1
