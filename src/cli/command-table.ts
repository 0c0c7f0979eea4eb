import type { Command } from 'commander'

import type { Environment } from '../machine/folders.ts'
import type { CliContext } from './context.ts'

/** What the table of commands is made with. */
export interface CommandTable {
  readonly program: Command
  readonly env: Environment
  readonly define: (parent: Command, usage: string, about: string) => Command
  /** The action of a command: makes its context, and tells what it threw. */
  readonly run: (
    work: (context: CliContext, home: string) => unknown,
    /** Folder where neither --home nor the environment names one; absent: the platform's. */
    home?: string,
  ) => () => Promise<void>
  /** Ends the program with this exit code, though nothing was thrown. */
  readonly endWith: (code: number) => void
}
