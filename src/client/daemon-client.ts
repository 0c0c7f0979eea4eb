import { systemClock, type Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { systemRandom } from '../kernel/random.ts'
import { OPERATIONS, type OperationId } from '../protocol/daemon-api.ts'
import type { Operation } from '../protocol/operation.ts'
import { readContext, type ContextInput } from './context.ts'
import { streamEvents, type EventsInput, type StreamedEvent } from './events.ts'
import { fits } from './fits.ts'
import { openAnswer, type AnyInput, type Line } from './request.ts'
import type { CallInput, DaemonCalls, ItemOf, ListId } from './types.ts'

export interface DaemonClientOptions {
  /** Where the daemon listens: `http://127.0.0.1:7610`. */
  readonly url: string
  /** The text of the file `api-token` in the daemon's data folder. */
  readonly token: string
  readonly fetch?: typeof fetch
  readonly clock?: Clock
}

/** The API of a daemon: `docs/guides/daemon.md`, and `/` of the daemon itself. */
export interface DaemonClient extends DaemonCalls {
  /** What changes, as it changes; goes on after the connection broke, without a gap or with a `reset`. */
  streamEvents(input?: EventsInput): AsyncIterable<StreamedEvent>
  /** The context of an approval, whole: its checksum was checked. */
  readApprovalContext(input: ContextInput): Promise<string>
  /** All items of a list, page after page, from `cursor` on where the query has one. */
  each<Id extends ListId>(list: Id, input?: CallInput<Id>): AsyncIterable<ItemOf<Id>>
}

/** Loads nothing and asks nothing until it is called. Every method rejects with a `TidemarkError` only. */
export function createDaemonClient(options: DaemonClientOptions): DaemonClient {
  const line: Line = {
    url: options.url.replace(/\/+$/, ''),
    token: options.token,
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    clock: options.clock ?? systemClock,
  }
  const calls = Object.fromEntries(
    (Object.keys(OPERATIONS) as OperationId[])
      .filter((id) => contractOf(id).answer !== undefined)
      .map((id) => [id, (input: AnyInput = {}) => call(line, id, input)]),
  ) as DaemonCalls
  return {
    ...calls,
    streamEvents: (input = {}) => streamEvents(line, systemRandom, input),
    readApprovalContext: (input) => readContext(line, input),
    each: (list, input) => each(line, list, input ?? {}),
  }
}

const contractOf = (id: OperationId): Operation => OPERATIONS[id]

async function call(line: Line, id: OperationId, input: AnyInput): Promise<unknown> {
  const { answer = {} } = contractOf(id)
  const { response, toError } = await openAnswer(line, id, input)
  const value: unknown = await response.text().then(parseJson, (thrown: unknown) => {
    throw toError(thrown)
  })
  if (fits<unknown>(answer, value)) return value
  throw new TidemarkError('bad_answer', `The answer to ${id} does not fit the protocol`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

async function* each<Id extends ListId>(
  line: Line,
  list: Id,
  input: AnyInput,
): AsyncGenerator<ItemOf<Id>, void, void> {
  let cursor: string | null = null
  do {
    const query = cursor === null ? input.query : { ...input.query, cursor }
    const page = (await call(line, list, { ...input, ...(query === undefined ? {} : { query }) })) as {
      readonly next: string | null
    }
    const items = Object.values(page).find((value) => Array.isArray(value)) as readonly ItemOf<Id>[]
    yield* items
    cursor = page.next
  } while (cursor !== null)
}
