import type { Action, Case, Settings } from './plan.ts'
import type { Violation } from './outcome.ts'
import { TABLE_NAMES } from './shape.ts'

export type Probe = (candidate: Case) => Promise<Violation | null>

export interface Shrunk {
  readonly case: Case
  readonly violation: Violation
  readonly tries: number
}

/**
 * Leaves out actions, then simplifies the world, as long as the same invariant still breaks in the same way. Bounded by `tries`:
 * a case that shrinks badly is still a case.
 */
export async function shrinkCase(
  found: Case,
  violation: Violation,
  probe: Probe,
  maxTries: number,
): Promise<Shrunk> {
  let best = cut(found, violation)
  let shown = violation
  let tries = 0

  async function accept(candidate: Case): Promise<boolean> {
    if (tries >= maxTries) return false
    tries++
    const result = await probe(candidate)
    if (result === null || !isAlike(result, violation)) return false
    best = cut(candidate, result)
    shown = result
    return true
  }

  for (let size = Math.ceil(best.actions.length / 2); size >= 1 && tries < maxTries;) {
    let removed = false
    for (let from = 0; from < best.actions.length && tries < maxTries;) {
      const kept = [...best.actions.slice(0, from), ...best.actions.slice(from + size)]
      if (kept.length < best.actions.length && (await accept({ ...best, actions: kept }))) removed = true
      else from += size
    }
    if (size === 1 && !removed) break
    size = size === 1 ? 1 : Math.ceil(size / 2)
  }
  for (const settings of simpler(best.settings))
    await accept({ ...best, settings: { ...best.settings, ...settings } })
  for (let at = 0; at < best.actions.length && tries < maxTries; at++) {
    const action = best.actions[at] as Action
    if (action.gap > 0) await accept({ ...best, actions: best.actions.with(at, { ...action, gap: 0 }) })
  }
  return { case: best, violation: shown, tries }
}

/** The same sentence, whatever it says it of. */
function isAlike(one: Violation, other: Violation): boolean {
  const plain = ({ message }: Violation) =>
    message
      .split(' ')
      .filter((word) => /^[a-z']+$/.test(word) && !TABLE_NAMES.includes(word))
      .join(' ')
  return one.invariant === other.invariant && plain(one) === plain(other)
}

/** Actions after the break say nothing. */
function cut(found: Case, violation: Violation): Case {
  return { ...found, actions: found.actions.slice(0, Math.max(0, violation.step + 1)) }
}

function simpler(settings: Settings): readonly Partial<Settings>[] {
  const calm = { dropRequest: 0, dropAnswer: 0, duplicate: 0, late: 0 }
  return [
    { network: calm },
    { network: { ...settings.network, late: 0 } },
    { network: { ...settings.network, duplicate: 0 } },
    { replicas: settings.replicas.map((one) => ({ ...one, skewMs: 0 })) },
    { replicas: settings.replicas.map((one) => ({ ...one, jitterMs: 0, diskMs: 0 })) },
    { replicas: settings.replicas.map((one) => ({ ...one, resolver: 'newestWins' as const })) },
    {
      replicas: settings.replicas.map((one) => ({
        ...one,
        extraColumns: 0,
        strictRules: false,
        looseSlots: false,
      })),
    },
    { pullLimit: 1_000 },
    { hydratePage: 1_000 },
    { batchRows: 100 },
  ]
}
