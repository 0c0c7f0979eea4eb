/**
 * What an allow rule may match (D4): words of characters that no shell gives a meaning to, one space between two. All
 * else is left to a person. A list of what is harmless, never of what is dangerous: there is always one more.
 */
const PLAIN = /^[A-Za-z0-9_./:@+,=-]+(?: [A-Za-z0-9_./:@+,=-]+)*$/
/** No person reads more before saying yes. */
const MAX_COMMAND_CHARS = 4_096

/** Why no allow rule matches a command, or null when it is plain. Never quotes the command. */
export function commandFault(command: string): string | null {
  if (command.length > MAX_COMMAND_CHARS) return `it is longer than ${MAX_COMMAND_CHARS} characters`
  if (!PLAIN.test(command))
    return 'it is more than words of letters, digits and _./:@+,=- with one space between two'
  const words = command.split(' ')
  const [program = ''] = words
  if (program.includes('=')) return 'it begins with the setting of a variable'
  if (program.startsWith('-')) return 'it begins with an option'
  // zsh looks up the path of a program for `=name`.
  if (words.some((word) => word.startsWith('='))) return 'a word begins with ='
  return null
}

export const isPlainCommand = (command: string): boolean => commandFault(command) === null

/** True when `command` is `prefix`, or goes on behind it with further words. */
export const hasWords = (command: string, prefix: string): boolean =>
  command === prefix || command.startsWith(`${prefix} `)

const listOf = (names: string): ReadonlySet<string> => new Set(names.split(' '))

/** What a shell does itself with the rest of the line, or that changes what later lines mean. */
const OF_THE_SHELL = listOf(
  '. source eval exec command builtin coproc alias unalias trap export declare typeset readonly local set unset shopt ' +
    'enable hash setopt if then elif else fi for while until do done case esac in select function time',
)
/** Programs whose words name another program. */
const WRAPPERS = listOf(
  'sh bash dash zsh ksh mksh fish csh tcsh ash busybox pwsh powershell cmd env sudo doas su xargs nohup nice ionice ' +
    'timeout setsid stdbuf watch strace ltrace ssh chroot unshare nsenter flock parallel script expect start',
)

/** Why a rule that allows `words` would allow more than it says, or null. */
export function allowedTooMuch(words: string, isPrefix: boolean): string | null {
  const [program = ''] = words.split(' ')
  if (OF_THE_SHELL.has(program)) return 'its first word is carried out by the shell itself'
  const name = program.slice(program.lastIndexOf('/') + 1).replace(/\.exe$/i, '')
  if (isPrefix && words === program && WRAPPERS.has(name))
    return 'it would allow any program: its first word runs what the next words say'
  return null
}
