# shellcheck shell=bash
# stages.sh: how scripts/test runs its stages, one alone or two at a time. Source it after common.sh.
#
# A stage is a function or a command with its arguments, as one text: 'boot 6.1'.

# stage WORD…: run one stage, and print how long it took.
stage() {
  local start=$SECONDS
  printf '\n== %s\n' "$*"
  "$@"
  printf '== %s: passed, %d s\n' "$*" $((SECONDS - start))
}

# side_by_side LIST LIST…: run lists of stages, arrays named here, beside one another, and the stages of one list in
# their order. What a stage prints goes to a file, and is shown whole when the stage ends. The first failure ends all.
side_by_side() {
  local -A list_of=() name_of=() next_of=()
  local list pid status
  output=$(mktemp -d)
  # A process group for each stage, so that all its processes can be ended.
  set -m
  trap 'end_stages' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for list; do start_next "$list"; done
  while ((${#list_of[@]})); do
    status=0
    wait -n -p pid "${!list_of[@]}" || status=$?
    cat "$output/$pid"
    ((status == 0)) || { unset "list_of[$pid]"; fail "${name_of[$pid]} failed, as printed above"; }
    list=${list_of[$pid]}
    unset "list_of[$pid]"
    start_next "$list"
  done
  set +m
  trap - EXIT INT TERM
  rm -rf "$output"
}

# start_next LIST: start the list's next stage, if one is left.
start_next() {
  local -n stages=$1
  local number=${next_of[$1]:-0} words
  ((number < ${#stages[@]})) || return 0
  next_of[$1]=$((number + 1))
  read -ra words <<<"${stages[number]}"
  say "${words[*]}: started"
  { exec </dev/null >"$output/$BASHPID" 2>&1; stage "${words[@]}"; } &
  list_of[$!]=$1 name_of[$!]=${words[*]}
}

# end_stages: end the stages that still run, and show what they printed.
# shellcheck disable=SC2317 # called by the EXIT trap
end_stages() {
  local pid
  for pid in "${!list_of[@]}"; do
    disown "$pid" # bash would report its end
    kill -TERM -- "-$pid" 2>/dev/null || true
    cat "$output/$pid" || true
    say "${name_of[$pid]}: ended before it was done"
  done
  rm -rf "$output"
}
