import type Database from 'better-sqlite3'

import { isErrorCode, TidemarkError } from '../../kernel/errors.ts'
import { ROUTES } from '../../protocol/routes.ts'
import { isErrorAnswer, isSchemaAnswer } from '../../providers/cloud/answers.ts'
import { askEndpoint, type EndpointAnswer, type EndpointLine } from './request.ts'
import { postBatch } from './send.ts'

/** What an endpoint speaks: both ways, or origin 000's upload. */
export type Protocol = 'tidemark' | 'batch'

/** What was found of endpoints, kept over restarts. */
export interface KnownProtocols {
  get(endpoint: string): Protocol | null
  set(endpoint: string, protocol: Protocol): void
  forget(endpoint: string): void
}

export function openKnownProtocols(database: Database.Database): KnownProtocols {
  const select = database
    .prepare<[string], string>('SELECT protocol FROM endpoints WHERE endpoint = ?')
    .pluck()
  const upsert = database.prepare(
    'INSERT INTO endpoints VALUES (?, ?) ON CONFLICT (endpoint) DO UPDATE SET protocol = excluded.protocol',
  )
  const remove = database.prepare('DELETE FROM endpoints WHERE endpoint = ?')
  return {
    get(endpoint) {
      const found = select.get(endpoint)
      return found === 'tidemark' || found === 'batch' ? found : null
    },
    set: (endpoint, protocol) => void upsert.run(endpoint, protocol),
    forget: (endpoint) => void remove.run(endpoint),
  }
}

/**
 * What the endpoint speaks, with `protocol` as it is set: `auto` asks it, once. Rejects where it can't be told: with
 * `network` or `unavailable` now, with `not_found` or `bad_answer` where the endpoint speaks neither.
 */
export async function findProtocol(
  setting: Protocol | 'auto',
  known: KnownProtocols,
  line: EndpointLine,
  signal: AbortSignal,
): Promise<Protocol> {
  if (setting !== 'auto') return setting
  const { base } = line.endpoint
  const before = known.get(base)
  if (before !== null) return before
  const found = await probeProtocol(line, signal)
  known.set(base, found)
  return found
}

/** Nothing of that is a row: a space that nobody has, and a batch without records. */
async function probeProtocol(line: EndpointLine, signal: AbortSignal): Promise<Protocol> {
  const { method, path } = ROUTES.schema
  const schema = await askEndpoint(line, { method, path: `${path}?space=probe` }, signal)
  // A refusal is as good: of the token, of the space that is not there.
  if (isTidemark(schema)) return 'tidemark'
  // Some servers answer every address with a page of their own.
  const knowsNone = [404, 405].includes(schema.status) || (schema.status < 300 && schema.json === undefined)
  if (!knowsNone) throw undecided(line, schema, `${method} ${path}`)
  const batch = await postBatch(line, [], signal)
  if ([404, 405].includes(batch.status))
    throw new TidemarkError(
      'not_found',
      `${line.endpoint.host} is no Tidemark cloud, and has no POST ${ROUTES.batch.path} either`,
      { details: { host: line.endpoint.host } },
    )
  const isBatch = batch.status < 300 ? isObject(batch.json) : batch.status < 500 && batch.status !== 429
  if (!isBatch) throw undecided(line, batch, `POST ${ROUTES.batch.path}`)
  return 'batch'
}

const isObject = (json: unknown): boolean => typeof json === 'object' && json !== null

const isTidemark = ({ status, json }: EndpointAnswer): boolean =>
  (status === 200 && isSchemaAnswer(json)) || (isErrorAnswer(json) && isErrorCode(json.error.code))

function undecided(
  { endpoint: { host } }: EndpointLine,
  { status, retryAfterMs }: EndpointAnswer,
  asked: string,
): TidemarkError {
  const isPassing = status >= 500 || status === 429 || status === 408
  return new TidemarkError(
    isPassing ? 'unavailable' : 'bad_answer',
    `What ${host} speaks cannot be told: it answered ${asked} with status ${status}. The setting protocol says it`,
    { details: { host, status }, ...(retryAfterMs === null ? {} : { retryAfterMs }) },
  )
}
