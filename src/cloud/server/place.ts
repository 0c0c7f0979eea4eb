import { TidemarkError } from '../../kernel/errors.ts'
import type { DatabaseOptions } from '../postgres/pool.ts'

/** Where a cloud keeps everything: a folder of this machine, or a PostgreSQL database that several nodes may share. */
export type Place = { readonly data: string } | { readonly database: DatabasePlace }

export interface DatabasePlace extends DatabaseOptions {
  /** Whether the tables of spaces get views for plain SQL (`tidemark cloud views`). Absent: true. */
  readonly views?: boolean
}

/** The place that options name. Throws `bad_usage` unless it is exactly one. */
export function toPlace(options: {
  readonly data?: string | undefined
  readonly database?: string | DatabasePlace | undefined
}): Place {
  const { data, database } = options
  if (data !== undefined && database === undefined) return { data }
  if (database !== undefined && data === undefined)
    return { database: typeof database === 'string' ? { url: database } : database }
  throw new TidemarkError(
    'bad_usage',
    'a cloud keeps its data in a folder or in a database: name one of them',
  )
}

/** The place in words: a database without its password, and without what else its address may hold. */
export function describePlace(place: Place): string {
  if ('data' in place) return place.data
  return URL.canParse(place.database.url) ? withoutSecrets(new URL(place.database.url)) : 'the database'
}

function withoutSecrets({ protocol, username, host, pathname, searchParams }: URL): string {
  const socket = searchParams.get('host')
  const at = host === '' && socket !== null ? `?host=${encodeURIComponent(socket)}` : ''
  return `${protocol}//${username === '' ? '' : `${username}@`}${host}${pathname}${at}`
}

/** Whether the address asks for encryption, and not for who is at the other end. */
export const takesAnyCertificate = ({ url }: DatabaseOptions): boolean =>
  URL.canParse(url) && new URL(url).searchParams.getAll('sslmode').at(-1) === 'no-verify'

/** Whether the address itself holds a password. */
export const hasPassword = ({ url }: DatabaseOptions): boolean =>
  URL.canParse(url) && (new URL(url).password !== '' || new URL(url).searchParams.has('password'))
