#!/bin/sh
# A provider of the kind hostile_thing. It is honest while the file TAME is there, and
# then does what ACT says; ACT is a command of this shell.
if [ "$1" = describe ]; then
  if [ ! -e "$TAME" ] && [ "$WHEN" = describe ]; then
    eval "$ACT"
    exit
  fi
  printf '%s\n' "$DESCRIPTION"
  exit
fi
if [ ! -e "$TAME" ] && [ "$WHEN" = start ]; then
  eval "$ACT"
fi
while read -r line; do
  if [ ! -e "$TAME" ] && [ "$WHEN" = request ]; then
    eval "$ACT"
    continue
  fi
  case $line in
    '{"createResourceRequest"'*) answer='{"createResourceResponse":{"outputProperties":{}}}' ;;
    '{"updateResourceRequest"'*) answer='{"updateResourceResponse":{"outputProperties":{}}}' ;;
    '{"destroyResourceRequest"'*) answer='{"destroyResourceResponse":{}}' ;;
    *) answer='{"errorResponse":{"message":"nobody asks this"}}' ;;
  esac
  printf '%s\n' "$answer"
done
