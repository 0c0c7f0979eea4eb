import { adoptIdentity } from '../engine/reset.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { betterSqlite3 } from '../stores/sqlite/driver/better-sqlite3.ts'
import { openSqliteStore } from '../stores/sqlite/store/open.ts'
import { namingFile } from './attach.ts'
import { addAttachment, ANY_CLOUD, findAttachment, readStatus, writeStatus } from './attachments.ts'
import { guardOf } from '../machine/guard.ts'
import type { Machine } from '../machine/machine.ts'
import { openStoreOf, requireFile } from './replica.ts'

/** The space that a file is under sync with by what lies in the file itself; null when it is not. */
export async function readSpace(file: string): Promise<string | null> {
  try {
    const path = requireFile(file)
    await using store = namingFile(path, () => openSqliteStore({ file: path, driver: betterSqlite3 }))
    return (await store.state()).space
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'not_attached') return null
    throw error
  }
}

/**
 * Goes on with a file that is under sync already but not listed on this machine: a copy, a restored or a moved file.
 * Whether it needs an identity of its own is found when its engine starts (I13). Throws `already_attached`.
 */
export async function resumeFile(
  options: Machine & { readonly file: string; readonly profile: string },
): Promise<void> {
  const { folders, clock, profile } = options
  const file = requireFile(options.file)
  const space = await readSpace(file)
  if (space === null) throw new TidemarkError('not_attached', undefined, { details: { file } })
  if (findAttachment(folders, file) !== undefined)
    throw new TidemarkError('already_attached', undefined, { details: { file, space } })
  addAttachment(folders, { file, space, profile, attachedAt: clock.now() })
}

/**
 * Joins the cloud anew with the next sync, under another identity: what the cloud has that is newer flows in, or,
 * with `overwrite`, the rows as they are here become edits and win. Whichever space that is, it is offered every row. Both are durable when it resolves. Throws
 * `in_use`, and `unprocessable` for an overwrite with a file that never held the whole space.
 */
export async function rejoinFile(
  options: Machine & { readonly file: string; readonly overwrite: boolean },
): Promise<void> {
  const { folders, clock, random, overwrite } = options
  const file = requireFile(options.file)
  await using store = await openStoreOf(folders, file, { borrow: clock })
  const { replica, mutation, cursor } = await store.state()
  if (overwrite && cursor === null) {
    throw new TidemarkError(
      'unprocessable',
      'The file has not read its space whole yet: it cannot overwrite it',
      {
        details: { file },
      },
    )
  }
  const guard = guardOf(folders, file)
  const verdict = await guard.verdict(replica, mutation)
  if (overwrite) await store.startOverwrite()
  await adoptIdentity({ store, guard, clock, random })
  if (verdict === 'same' || verdict === 'restored') await guard.forget(replica)
  const earlier = readStatus(folders, file)
  writeStatus(folders, file, {
    state: earlier?.state ?? 'stopped',
    reason: earlier?.reason ?? '',
    lastSyncAt: earlier?.lastSyncAt ?? null,
    lastReset: { why: overwrite ? 'overwrite' : 'rejoin', at: clock.now() },
    cloud: ANY_CLOUD,
  })
}
