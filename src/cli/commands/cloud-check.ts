import { checkCloud } from '../../cloud/check/check.ts'
import { describePlace } from '../../cloud/server/place.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, type PlaceOptions } from './directory.ts'

export interface CheckOptions extends PlaceOptions {
  readonly nodes: number
}

/** tidemark cloud check: false when a cloud would not work there. */
export async function checkPlace(context: CliContext, options: CheckOptions): Promise<boolean> {
  const place = cloudPlace(context, options)
  const findings = await checkCloud(place, { clock: context.clock, nodes: options.nodes })
  const fails = findings.filter(({ state }) => state === 'fail').length
  const warnings = findings.filter(({ state }) => state === 'warn').length
  const lines = findings.flatMap(({ state, about, what, fix }) => [
    `${state.padEnd(4)}  ${about}: ${what}`,
    ...(fix === undefined ? [] : [`      → ${fix}`]),
  ])
  context.output.result({ place: describePlace(place), ok: fails === 0, findings }, [
    ...lines,
    fails > 0
      ? 'A cloud does not work there.'
      : warnings > 0
        ? 'A cloud works there; see the warnings.'
        : 'All is well.',
  ])
  return fails === 0
}
