import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { TidemarkError } from '../kernel/errors.ts'
import type { Reset } from '../engine/status.ts'
import type { Credentials } from '../machine/device.ts'
import { canonicalPath, fileTag } from '../machine/files.ts'
import { changePrivateFile, readPrivateFile, writePrivateFile } from '../machine/private-file.ts'
import type { Folders } from '../machine/folders.ts'

/** A file under sync on this machine. */
export interface Attachment {
  /** Absolute, links resolved. */
  readonly file: string
  readonly space: string
  readonly profile: string
  /** Milliseconds. */
  readonly attachedAt: number
}

/** What was last known of an attachment, for a status while nothing runs. */
export interface AttachmentStatus {
  readonly state: string
  readonly reason: string
  /** Milliseconds; null before the first. */
  readonly lastSyncAt: number | null
  /** Why and when it last joined the cloud anew; absent: never. */
  readonly lastReset?: Reset | null
  /** `cloudTag` of what it was last in step with, or `ANY_CLOUD`; absent: it never was. */
  readonly cloud?: string | null
}

/** A person said that the file may be joined with whatever space it meets next. */
export const ANY_CLOUD = 'any'

/** A connection, told by its endpoint and token without showing the token. */
export const cloudTag = ({ endpoint, token }: Credentials): string =>
  createHash('sha256')
    .update(`${endpoint} ${token ?? ''}`)
    .digest('hex')
    .slice(0, 32)

/** Where the list lies. */
export const attachmentsPath = (folders: Folders): string => join(folders.data, 'attachments.json')

export function listAttachments(folders: Folders): readonly Attachment[] {
  return parseList(attachmentsPath(folders), readPrivateFile(attachmentsPath(folders)))
}

export function findAttachment(folders: Folders, file: string): Attachment | undefined {
  const path = canonicalPath(file)
  return listAttachments(folders).find((attachment) => attachment.file === path)
}

export function addAttachment(folders: Folders, attachment: Attachment): void {
  changeList(folders, (list) => [...list.filter(({ file }) => file !== attachment.file), attachment])
  if (isTakenOff(folders, attachment.file)) rmSync(takenOffPath(folders), { force: true })
}

export function removeAttachment(folders: Folders, file: string): void {
  const path = canonicalPath(file)
  // Before it is off the list: a daemon that looks in between would put it under sync again.
  if (path === canonicalPath(folders.agents)) writePrivateFile(takenOffPath(folders), path)
  changeList(folders, (list) => list.filter((attachment) => attachment.file !== path))
}

/** A person took the agents' database off sync: the daemon does not put it back. */
export const isTakenOff = (folders: Folders, file: string): boolean =>
  readPrivateFile(takenOffPath(folders)) === file

export function readStatus(folders: Folders, file: string): AttachmentStatus | null {
  const text = readPrivateFile(statusPath(folders, file))
  return text === null ? null : (JSON.parse(text) as AttachmentStatus)
}

export function writeStatus(folders: Folders, file: string, status: AttachmentStatus): void {
  writePrivateFile(statusPath(folders, file), JSON.stringify(status))
}

const takenOffPath = (folders: Folders): string => join(folders.data, 'agents-detached')
const statusPath = (folders: Folders, file: string): string =>
  join(folders.data, 'status', `${fileTag(file)}.json`)

/** Throws `config_invalid` for anything else than a list of attachments: it is left as it is. */
function parseList(path: string, text: string | null): readonly Attachment[] {
  const list = text === null ? [] : parseJson(text)
  if (Array.isArray(list) && list.every(isAttachment)) return list
  throw new TidemarkError('config_invalid', `${path} cannot be read: it is no list of attached files`, {
    details: { file: path },
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isAttachment(value: unknown): value is Attachment {
  if (typeof value !== 'object' || value === null) return false
  const { file, space, profile, attachedAt } = value as { readonly [name: string]: unknown }
  return [file, space, profile].every((text) => typeof text === 'string') && typeof attachedAt === 'number'
}

function changeList(folders: Folders, change: (list: readonly Attachment[]) => readonly Attachment[]): void {
  changePrivateFile(
    attachmentsPath(folders),
    (text) => `${JSON.stringify(change(parseList(attachmentsPath(folders), text)), null, 2)}\n`,
  )
}
