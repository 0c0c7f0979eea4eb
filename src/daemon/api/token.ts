import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'

import type { Folders } from '../../machine/folders.ts'
import { changePrivateFile, readPrivateFile } from '../../machine/private-file.ts'

const TOKEN_BYTES = 32
const TOKEN = /^tmd_[A-Za-z0-9_-]{43}$/
/** Rights of a group and of others; of no meaning on Windows, where a profile's folders are its user's alone. */
const OTHERS = process.platform === 'win32' ? 0 : 0o077

const fileOf = (folders: Folders): string => join(folders.data, 'api-token')
const newToken = (): string => `tmd_${randomBytes(TOKEN_BYTES).toString('base64url')}`

/** The token of the API, null where there is none. */
export function readApiToken(folders: Folders): string | null {
  return parse(readPrivateFile(fileOf(folders)))
}

/**
 * The token of the API; made where there is none, by two processes at the same time the same one. The file is its
 * owner's only afterwards. One that others could read until now may be known to them: then it is another token.
 */
export function openApiToken(folders: Folders): string {
  // Looked at first: whoever reads the file closes it.
  const isShown = wasOpen(fileOf(folders))
  return change(folders, (known) => (known === null || isShown ? newToken() : known))
}

/** Makes another token. A daemon that runs takes it with its next start. */
export const rotateApiToken = (folders: Folders): string => change(folders, newToken)

function change(folders: Folders, choose: (known: string | null) => string): string {
  let token = ''
  changePrivateFile(fileOf(folders), (text) => `${(token = choose(parse(text)))}\n`)
  return token
}

function parse(text: string | null): string | null {
  const token = text?.trim() ?? ''
  return TOKEN.test(token) ? token : null
}

/** Whether others could read the file: in a folder that is its owner's only they could not, whatever its own mode. */
const wasOpen = (file: string): boolean => isOpen(file) && isOpen(dirname(file))
const isOpen = (path: string): boolean =>
  ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & OTHERS) !== 0
