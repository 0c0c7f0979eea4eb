import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

import { TidemarkError } from '../../kernel/errors.ts'

/** Where a connection goes, as the driver has worked it out from address and environment. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
}

type Environment = { readonly [name: string]: string | undefined }

/** Of a password file, anything that its group or others may do with it. */
const FOREIGN_RIGHTS = 0o077
/** What PostgreSQL's own programs look for where the connection is a socket of this machine. */
const LOCAL = 'localhost'

/**
 * The password for a server that asks for one, where neither the address nor PGPASSWORD has it: from the file that
 * PGPASSFILE names, else from ~/.pgpass, as PostgreSQL's own programs find it. Rejects with `database_refused`, which
 * says where it looked, and never what it read.
 */
export async function findPassword(target: Target, env: Environment = process.env): Promise<string> {
  const named = env['PGPASSFILE'] ?? ''
  const file = named === '' ? defaultFile(env) : named
  const found = await readEntries(file, target)
  if ('password' in found) return found.password
  throw new TidemarkError(
    'database_refused',
    `PostgreSQL asks for the password of ${target.user}, and there is none: the address has none, PGPASSWORD is not set, and ${found.why}`,
  )
}

const defaultFile = (env: Environment): string =>
  process.platform === 'win32'
    ? join(env['APPDATA'] ?? '.', 'postgresql', 'pgpass.conf')
    : join(env['HOME'] ?? homedir(), '.pgpass')

async function readEntries(
  file: string,
  target: Target,
): Promise<{ readonly password: string } | { readonly why: string }> {
  try {
    const found = await stat(file)
    if (!found.isFile()) return { why: `${file} is no file` }
    if (process.platform !== 'win32' && (found.mode & FOREIGN_RIGHTS) !== 0)
      return { why: `${file} is not believed, since others may read or write it (chmod 600)` }
    const lines = (await readFile(file, 'utf8')).split(/\r?\n/)
    for (const line of lines) {
      const password = passwordIn(line, target)
      if (password !== null) return { password }
    }
    const { host, port, database, user } = target
    return {
      why: `no line of ${file} begins with ${host}:${port}:${database}:${user}: (or * for any of these)`,
    }
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
    return {
      why: code === 'ENOENT' ? `there is no file ${file}` : `${file} cannot be read (${String(code)})`,
    }
  }
}

/** Of `host:port:database:user:password`; a backslash takes the meaning from the character after it. */
function passwordIn(line: string, { host, port, database, user }: Target): string | null {
  if (line.startsWith('#')) return null
  const entry = /^((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):((?:\\.|[^\\:])*):(.+)$/.exec(line)
  if (entry === null) return null
  const [, ...fields] = entry
  const hosts = host.startsWith('/') ? [host, LOCAL] : [host]
  const meant = [hosts, [String(port)], [database], [user]]
  const fits = meant.every((values, at) => {
    const field = fields[at] ?? ''
    return field === '*' || values.includes(unescape(field))
  })
  return fits ? unescape(fields[4] ?? '') : null
}

const unescape = (field: string): string => field.replaceAll(/\\(.)/g, '$1')
