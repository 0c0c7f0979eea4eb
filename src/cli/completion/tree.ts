import type { Argument, Command, Option } from 'commander'

/** What may stand at one place of a command line. */
export interface CompletedValue {
  /** Words to choose from; empty: `files` says whether it is a path. */
  readonly words: readonly string[]
  readonly files: boolean
}

export interface CompletedOption {
  /** `--json`, `-q`: as typed. */
  readonly names: readonly string[]
  readonly about: string
  /** Absent: it takes none. */
  readonly value?: CompletedValue
}

/** A command as the shells are to know it. */
export interface CompletedCommand {
  /** Below the program: `sync status`; empty for the program itself. */
  readonly path: string
  readonly name: string
  readonly about: string
  readonly options: readonly CompletedOption[]
  /** Of the arguments in their order; the last one goes on where `repeats`. */
  readonly values: readonly CompletedValue[]
  readonly repeats: boolean
  readonly commands: readonly CompletedCommand[]
}

/** Words for arguments by their names, where the table of commands does not have them. */
export type KnownWords = { readonly [argument: string]: readonly string[] }

/** The whole tree of commands. Options of a command count below it too, as Commander has it. */
export function readTree(program: Command, words: KnownWords): CompletedCommand {
  const read = (command: Command, path: string, above: readonly CompletedOption[]): CompletedCommand => {
    const options = [...above, ...command.options.filter(({ hidden }) => !hidden).map(readOption)]
    return {
      path,
      name: command.name(),
      about: command.description(),
      options,
      values: command.registeredArguments.map((argument) => readArgument(argument, words)),
      repeats: command.registeredArguments.some(({ variadic }) => variadic),
      commands: command.commands.map((child) =>
        read(child, path === '' ? child.name() : `${path} ${child.name()}`, options),
      ),
    }
  }
  const help: CompletedOption = { names: ['--help', '-h'], about: 'help for a command' }
  return read(program, '', [help])
}

function readOption(option: Option): CompletedOption {
  const names = [option.long, option.short].filter((name) => name !== undefined && name !== null)
  const about = option.description
  const valueName = /[<[](.+?)(?:\.{3})?[>\]]/.exec(option.flags)?.[1]
  if (valueName === undefined) return { names, about }
  return { names, about, value: { words: option.argChoices ?? [], files: isPath(valueName) } }
}

const readArgument = (argument: Argument, words: KnownWords): CompletedValue => ({
  words: argument.argChoices ?? words[argument.name()] ?? [],
  files: isPath(argument.name()),
})

const isPath = (name: string): boolean => ['file', 'files', 'dir', 'path'].includes(name)

/** All commands, the program first. */
export const listCommands = (command: CompletedCommand): readonly CompletedCommand[] => [
  command,
  ...command.commands.flatMap(listCommands),
]
