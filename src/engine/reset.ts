import { TidemarkError } from '../kernel/errors.ts'
import { uuidV7 } from '../kernel/random.ts'
import type { Cursor, Generation } from '../protocol/records.ts'
import type { MachineEvent } from './machine.ts'
import type { ResetReason } from './status.ts'
import { clearStaging } from './staging.ts'
import type { Work } from './work.ts'

/** Gives the store another identity, known outside its file first. Answers it. */
export async function adoptIdentity({
  store,
  guard,
  clock,
  random,
}: Pick<Work, 'store' | 'guard' | 'clock' | 'random'>): Promise<string> {
  const fresh = uuidV7(clock.now(), random)
  await guard.record(fresh, 0)
  await store.adopt(fresh)
  return fresh
}

/** Takes another identity: the old one lives elsewhere, or its past is in doubt. Rows stay dirty (I13). */
export async function takeNewIdentity(work: Work, why: ResetReason): Promise<void> {
  const { replica } = await work.store.state()
  const fresh = await adoptIdentity(work)
  // Only an identity that is used up may be forgotten; a copied file's original goes on using it.
  if (why === 'forked') await work.guard.forget(replica)
  work.changes = null
  work.answer = null
  work.report({ type: 'identity', replica: fresh, why })
}

/**
 * After `replica_forked` or `lost_history`: a new identity, and for the latter a rebase on what is common. Throws
 * `needs_merge`, with nothing done, for another space where that is not to be joined.
 */
export async function reset(work: Work, why: 'forked' | 'lost_history'): Promise<MachineEvent> {
  clearStaging(work.staging)
  work.prefetched = null
  const history = why === 'lost_history' ? readHistory(work.lastError?.details) : null
  const { space, cursor: read, generations, hydrating } = await work.store.state()
  // Rows of a first hydrate that was cut off are of the lost history too.
  const cursor = read ?? hydrating?.cursor ?? null
  if (history !== null && cursor !== null && cursor.epoch !== history.epoch && !work.joinsOthers) {
    throw new TidemarkError(
      'needs_merge',
      'The space is not the one that this file was in step with: another account, another cloud, or one that was set up anew',
      { details: { space } },
    )
  }
  await takeNewIdentity(work, why)
  if (history === null) return { type: 'reset' }
  // What tables look like may be lost too: rows without it can be read by nobody new. Told once too often, it is the same.
  await work.store.savePublishedSchema('')
  if (cursor === null) return { type: 'reset' }
  const common = cursor.epoch === history.epoch ? commonVersion(generations, history.generations, cursor) : 0
  const newest = history.generations.at(-1)
  if (newest === undefined) throw new TidemarkError('bad_answer', 'a lost history without generations')
  const rebased: Cursor = {
    epoch: history.epoch,
    generation: newest.id,
    version: Math.min(cursor.version, common),
    high: common,
  }
  const { offered } = await work.store.rebase(rebased, common, history.generations)
  // What was read so far may be of the lost history: it is read again, beside the rows that are offered.
  if (hydrating !== null) await work.store.startHydrate({ ...hydrating, cursor: rebased, place: null })
  work.report({ type: 'rebased', offered, common })
  return { type: 'reset' }
}

interface History {
  readonly epoch: string
  readonly generations: readonly Generation[]
}

/** What a `lost_history` tells of the cloud's history. Throws `bad_answer` when it does not. */
function readHistory(details: { readonly [key: string]: unknown } | undefined): History {
  const { epoch, generations } = details ?? {}
  if (typeof epoch !== 'string' || !Array.isArray(generations) || !generations.every(isGeneration)) {
    throw new TidemarkError('bad_answer', 'a lost history without its generations')
  }
  return { epoch, generations }
}

function isGeneration(value: unknown): value is Generation {
  if (typeof value !== 'object' || value === null) return false
  const { id, start } = value as { readonly id?: unknown; readonly start?: unknown }
  return typeof id === 'string' && Number.isSafeInteger(start)
}

/**
 * Up to which version both histories are the same: the end of the newest generation that both know, on the side
 * where it ended earlier. Generations that the replica never heard of only make it smaller, which offers more
 * rows than need be, never fewer (I11).
 */
export function commonVersion(
  known: readonly Generation[],
  cloud: readonly Generation[],
  cursor: Cursor,
): number {
  for (let at = known.length - 1; at >= 0; at--) {
    const there = cloud.findIndex(({ id }) => id === known[at]?.id)
    if (there < 0) continue
    const ends = [known[at + 1]?.start, cloud[there + 1]?.start, cursor.high]
    return Math.min(...ends.filter((end) => end !== undefined))
  }
  return 0
}
