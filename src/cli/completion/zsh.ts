import { listCommands, type CompletedCommand, type CompletedOption, type CompletedValue } from './tree.ts'

/** A script for zsh: a function for each command, which hands over to that of the next word. */
export function completeZsh(program: CompletedCommand): string {
  return `#compdef tidemark
# Completion of tidemark for zsh.
${listCommands(program).map(functionOf).join('\n')}
if [[ $funcstack[1] == _tidemark ]]; then
  _tidemark "$@"
else
  compdef _tidemark tidemark
fi
`
}

const nameOf = (path: string): string => `_tidemark${path === '' ? '' : `_${path.replaceAll(/[ -]/g, '_')}`}`

function functionOf(command: CompletedCommand): string {
  const options = command.options.map((option) => `    ${specOf(option)}`)
  if (command.commands.length > 0) {
    const described = command.commands.map(({ name, about }) => `    ${quote(`${name}:${escape(about)}`)}`)
    const cases = command.commands.map(({ name, path }) => `    ${name}) ${nameOf(path)} ;;`)
    return `${nameOf(command.path)}() {
  local curcontext="$curcontext" state line
  local -a commands=(
${described.join('\n')}
  )
  _arguments -C \\
${options.map((option) => `${option} \\`).join('\n')}
    '1: :->command' '*:: :->rest'
  case $state in
    command) _describe command commands ;;
    rest) case $line[1] in
${cases.join('\n')}
    esac ;;
  esac
}`
  }
  const values = command.values.map((value, index) => {
    const place = command.repeats && index === command.values.length - 1 ? '*' : String(index + 1)
    return `    ${quote(`${place}: :${actionOf(value)}`)}`
  })
  return `${nameOf(command.path)}() {
  _arguments \\
${[...options, ...values].join(' \\\n')}
}`
}

function specOf({ names, about, value }: CompletedOption): string {
  const alone = names.length > 1 ? `(${names.join(' ')})` : ''
  const rest = `[${escape(about).replaceAll(/[[\]]/g, '\\$&')}]${value === undefined ? '' : `: :${actionOf(value)}`}`
  return names.length > 1 ? `${quote(alone)}{${names.join(',')}}${quote(rest)}` : quote(`${names[0]}${rest}`)
}

const actionOf = ({ words, files }: CompletedValue): string =>
  words.length > 0 ? `(${words.join(' ')})` : files ? '_files' : ' '

const escape = (text: string): string => text.replaceAll(':', '\\:')
const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
