import { addProfile, checkRemoval, listProfiles, removeProfile, useProfile } from '../../daemon/profiles.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { findProfile } from '../../machine/variables.ts'
import type { CliContext } from '../context.ts'

/** tidemark config profiles list */
export function showProfiles(context: CliContext): void {
  const profiles = listProfiles(context.folders)
  context.output.result(
    { profiles },
    profiles.map(({ name, active }) => (active ? `${name} (in use)` : name)),
  )
  warnNamed(context)
}

/** tidemark config profiles use NAME */
export function chooseProfile(context: CliContext, name: string): void {
  useProfile(context.folders, name)
  context.output.result({ profile: name }, [`The profile ${name} is in use.`])
  warnNamed(context)
}

/** tidemark config profiles add NAME [--copy FROM] */
export function makeProfile(context: CliContext, name: string, options: { readonly copy?: string }): void {
  addProfile(context.folders, name, options.copy)
  context.output.result({ profile: name, copied: options.copy ?? null }, [
    options.copy === undefined
      ? `The profile ${name} is there. Set it up: tidemark --profile ${name} config set endpoint URL`
      : `The profile ${name} is there, with the settings of ${options.copy} but not its token: tidemark --profile ${name} config set token -`,
  ])
}

/** tidemark config profiles remove NAME: its settings and its token. Asks first. */
export async function dropProfile(
  context: CliContext,
  name: string,
  options: { readonly yes?: boolean },
): Promise<void> {
  checkRemoval(context.folders, name)
  const question = `Remove the profile ${name}, with its settings and its token?`
  if (options.yes !== true && !(await context.confirm(question))) throw new TidemarkError('not_confirmed')
  removeProfile(context, name)
  context.output.result({ removed: name }, [`The profile ${name} is removed.`])
}

function warnNamed({ env, output }: CliContext): void {
  const named = findProfile(env)
  if (named !== null) output.warn(`Note: ${named.variable} is set and wins: ${named.text}`)
}
