import { listCommands, type CompletedCommand, type CompletedValue } from './tree.ts'

/**
 * A script for bash 4 or newer. It walks the words before the cursor to the command they mean, then offers what may
 * stand there.
 */
export function completeBash(program: CompletedCommand): string {
  const commands = listCommands(program)
  const flags = commands.map(
    (command) =>
      `    ${quote(command.path)}) echo ${quote(command.options.flatMap(({ names }) => names).join(' '))} ;;`,
  )
  const below = commands
    .filter(({ commands: children }) => children.length > 0)
    .map(
      (command) =>
        `    ${quote(command.path)}) echo ${quote(command.commands.map(({ name }) => name).join(' '))} ;;`,
    )
  const taking = commands.flatMap((command) =>
    command.options.flatMap(({ names, value }) =>
      value === undefined
        ? []
        : names.map((name) => `    ${quote(`${command.path}|${name}`)}) echo ${quote(kindOf(value))} ;;`),
    ),
  )
  const values = commands.flatMap((command) =>
    command.values.map((value, index) => {
      const place = command.repeats && index === command.values.length - 1 ? '*' : String(index)
      return `    ${quote(`${command.path}|`)}${place}) echo ${quote(kindOf(value))} ;;`
    }),
  )
  return `# Completion of tidemark for bash.
_tidemark_below() {
  case "$1" in
${below.join('\n')}
  esac
}
_tidemark_options() {
  case "$1" in
${flags.join('\n')}
  esac
}
_tidemark_option_value() {
  case "$1" in
${taking.join('\n')}
  esac
}
_tidemark_value() {
  case "$1" in
${values.join('\n')}
  esac
}
_tidemark_offer() {
  local IFS=$' \\t\\n'
  if [[ $1 == @files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$2")
  else
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
  fi
}
_tidemark() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' place=0 taken='' word kind i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ -n $taken ]]; then
      taken=''
    elif [[ $word == -* ]]; then
      taken="$(_tidemark_option_value "$path|$word")"
    elif [[ " $(_tidemark_below "$path") " == *" $word "* ]]; then
      path="\${path:+$path }$word"
    else
      place=$((place + 1))
    fi
  done
  if [[ -n $taken ]]; then
    [[ $taken == @any ]] || _tidemark_offer "$taken" "$current"
  elif [[ $current == -* ]]; then
    _tidemark_offer "$(_tidemark_options "$path")" "$current"
  elif [[ $place == 0 && -n "$(_tidemark_below "$path")" ]]; then
    _tidemark_offer "$(_tidemark_below "$path")" "$current"
  else
    kind="$(_tidemark_value "$path|$place")"
    [[ -z $kind || $kind == @any ]] || _tidemark_offer "$kind" "$current"
  fi
}
complete -F _tidemark tidemark
`
}

const kindOf = ({ words, files }: CompletedValue): string =>
  words.length > 0 ? words.join(' ') : files ? '@files' : '@any'

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
