import { listCommands, type CompletedCommand, type CompletedOption, type CompletedValue } from './tree.ts'

/** A script for fish 3 or newer: one line for everything that may stand somewhere, with where that is. */
export function completeFish(program: CompletedCommand): string {
  const commands = listCommands(program)
  const known = commands.filter(({ path }) => path !== '').map(({ path }) => `        ${quote(path)} \\`)
  return `# Completion of tidemark for fish.
function __tidemark_path
    set -l known \\
${known.join('\n')}
        ''
    set -l path
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; and continue
        contains -- (string join ' ' $path $word) $known; and set -a path $word
    end
    string join ' ' $path
end
function __tidemark_at
    set -l path (__tidemark_path)
    test "$path" = "$argv[1]"
end
complete -c tidemark -f
${commands.flatMap(linesOf).join('\n')}
`
}

function linesOf(command: CompletedCommand): readonly string[] {
  const at = `complete -c tidemark -n ${quote(`__tidemark_at ${quote(command.path)}`)}`
  return [
    ...command.commands.map(({ name, about }) => `${at} -a ${quote(name)} -d ${quote(about)}`),
    ...command.options.map((option) => `${at} ${flagsOf(option)} -d ${quote(option.about)}`),
    ...command.values.flatMap((value) => {
      const offered = valueOf(value)
      return offered === null ? [] : [`${at} ${offered}`]
    }),
  ]
}

function flagsOf({ names, value }: CompletedOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`))
  if (value === undefined) return flags.join(' ')
  return [...flags, '-r', valueOf(value) ?? ''].join(' ').trimEnd()
}

const valueOf = ({ words, files }: CompletedValue): string | null =>
  words.length > 0 ? `-a ${quote(words.join(' '))}` : files ? '-F' : null

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
