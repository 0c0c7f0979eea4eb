import type { Command } from 'commander'

import { TidemarkError } from '../../kernel/errors.ts'
import { SETTINGS } from '../../machine/settings.ts'
import { completeBash } from '../completion/bash.ts'
import { completeFish } from '../completion/fish.ts'
import { readTree, type CompletedCommand } from '../completion/tree.ts'
import { completeZsh } from '../completion/zsh.ts'
import type { CliContext } from '../context.ts'

const SHELLS: { readonly [shell: string]: (program: CompletedCommand) => string } = {
  bash: completeBash,
  zsh: completeZsh,
  fish: completeFish,
}

/** tidemark completion bash | zsh | fish: prints a script that the shell reads. */
export function printCompletion(context: CliContext, program: Command, shell: string): void {
  const complete = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined
  if (complete === undefined)
    throw new TidemarkError('bad_usage', `there are scripts for ${Object.keys(SHELLS).join(', ')}`)
  const script = complete(readTree(program, { setting: Object.keys(SETTINGS) }))
  context.output.result({ shell, script }, [script.trimEnd()])
}
