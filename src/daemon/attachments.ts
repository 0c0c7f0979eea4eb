import { join } from 'node:path'

import type { Reset } from '../engine/status.ts'
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
}

export function listAttachments(folders: Folders): readonly Attachment[] {
  return parseList(readPrivateFile(listPath(folders)))
}

export function findAttachment(folders: Folders, file: string): Attachment | undefined {
  const path = canonicalPath(file)
  return listAttachments(folders).find((attachment) => attachment.file === path)
}

export function addAttachment(folders: Folders, attachment: Attachment): void {
  changeList(folders, (list) => [...list.filter(({ file }) => file !== attachment.file), attachment])
}

export function removeAttachment(folders: Folders, file: string): void {
  changeList(folders, (list) => list.filter((attachment) => attachment.file !== canonicalPath(file)))
}

export function readStatus(folders: Folders, file: string): AttachmentStatus | null {
  const text = readPrivateFile(statusPath(folders, file))
  return text === null ? null : (JSON.parse(text) as AttachmentStatus)
}

export function writeStatus(folders: Folders, file: string, status: AttachmentStatus): void {
  writePrivateFile(statusPath(folders, file), JSON.stringify(status))
}

const listPath = (folders: Folders): string => join(folders.data, 'attachments.json')
const statusPath = (folders: Folders, file: string): string =>
  join(folders.data, 'status', `${fileTag(file)}.json`)

function parseList(text: string | null): readonly Attachment[] {
  return text === null ? [] : (JSON.parse(text) as readonly Attachment[])
}

function changeList(folders: Folders, change: (list: readonly Attachment[]) => readonly Attachment[]): void {
  changePrivateFile(listPath(folders), (text) => `${JSON.stringify(change(parseList(text)), null, 2)}\n`)
}
