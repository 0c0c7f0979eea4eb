import { hash } from 'node:crypto'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { silentLogger, type Logger } from '../../kernel/logger.ts'
import type { Random } from '../../kernel/random.ts'
import { HydrateQuery, PullRequest, ReadRequest } from '../../protocol/pull.ts'
import type { PushResult } from '../../protocol/push.ts'
import { Id } from '../../protocol/records.ts'
import { SchemaRequest } from '../../protocol/schema.ts'
import { DeviceInput, DeviceRename, SpaceQuery } from '../../protocol/status.ts'
import type { Bus } from '../bus.ts'
import { MemoryBus } from '../bus/memory.ts'
import type { Directory, Grant } from '../directory.ts'
import type { Log } from '../log/log.ts'
import { silentMetrics, type Metrics } from '../metrics.ts'
import { admitRequest, requireSpace, type Admission, type Credentials } from './access.ts'
import { readBatch, writeBatch } from './batch.ts'
import { checkTexts, compileCheck } from '../../http/check.ts'
import type { ApiRoute } from './contract.ts'
import { deregisterDevice, registerDevice, renameDevice } from './devices.ts'
import { reportFailure } from '../../http/failures.ts'
import { readPlace, startHydrateLines } from './hydrate.ts'
import { bodyText, HARMLESS_BYTES, parseJson } from '../../http/json.ts'
import { HANDLER_LIMITS, PUSH_UNLOOKED_BYTES, type HandlerLimits } from './limits.ts'
import { createPolls } from './polls.ts'
import { checkPush, checkValueDepth } from './push-check.ts'
import { createSpaces } from './spaces.ts'

export interface HandlerOptions {
  readonly log: Log
  /** Brings the commits of other nodes. Absent: there are none. */
  readonly bus?: Bus
  readonly directory: Directory
  readonly clock: Clock
  readonly random: Random
  readonly logger?: Logger
  readonly metrics?: Metrics
  readonly limits?: Partial<HandlerLimits>
  /** The grant of requests without a token. Only for a cloud that nothing but its own machine can reach. */
  readonly open?: Grant
}

/** What a request carries besides its credentials. */
export interface RequestInput {
  /** The part of the path after `/sync/devices/`. */
  readonly id?: string | undefined
  readonly query?: { readonly [name: string]: string | readonly string[] | undefined } | undefined
  /** The header `tidemark-resume`. */
  readonly resume?: string | undefined
  /** The exact bytes of the body after decompression, or their text. */
  readonly body?: Uint8Array | string | undefined
  /** Aborts when nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined
  /** Told what a pull waited for a change, in milliseconds, each time it did. */
  readonly onWaited?: ((ms: number) => void) | undefined
}

export interface CloudRequest extends Credentials, RequestInput {
  readonly route: ApiRoute
}

export type CloudAnswer =
  | { readonly kind: 'json'; readonly value: object }
  /** Lines of JSON, some in each text, every one ended by a line feed. */
  | { readonly kind: 'lines'; readonly lines: AsyncIterable<string> }

/**
 * The cloud without a transport. Every method rejects with a `TidemarkError` only; what else is thrown inside
 * is logged and becomes `internal`.
 */
export interface Handler {
  /** I12: authorisation, before the body is read. */
  admit(route: ApiRoute, credentials: Credentials): Promise<Admission>
  answer(admission: Admission, input: RequestInput): Promise<CloudAnswer>
  /** Both in one. */
  handle(request: CloudRequest): Promise<CloudAnswer>
  /** Answers waiting pulls, ends hydrates; requests that come later are still answered, but none waits. */
  stop(): void
}

const checkPull = compileCheck(PullRequest)
const checkRead = compileCheck(ReadRequest)
const checkHydrate = compileCheck(HydrateQuery)
const checkSchema = compileCheck(SchemaRequest)
const checkSpace = compileCheck(SpaceQuery)
const checkDevice = compileCheck(DeviceInput)
const checkRename = compileCheck(DeviceRename)
const checkId = compileCheck(Id)

type Answers = {
  readonly [R in ApiRoute]: (admission: Admission, input: RequestInput) => Promise<CloudAnswer>
}

export function createHandler(options: HandlerOptions): Handler {
  const { log, directory, clock } = options
  const logger = options.logger ?? silentLogger
  const metrics = options.metrics ?? silentMetrics
  const limits = { ...HANDLER_LIMITS, ...options.limits }
  const open = options.open ?? null
  const spaces = createSpaces(directory, log)
  const bus = options.bus ?? new MemoryBus().join()
  // As long as the log lives: pushes that are answered during a stop are news to the other nodes too.
  log.onCommit((space, head, writer) => {
    metrics.count('commits', {})
    bus.publish(space, head, writer)
  })
  const polls = createPolls({ log, bus, clock, random: options.random, limits, metrics })
  let stopped = false

  const recheck = (admission: Admission) => async (): Promise<void> => {
    await admitRequest(directory, open, admission.route, admission.credentials)
  }

  const answers: Answers = {
    async push({ grant }, { body }) {
      const request = checkPush(parseJson(bodyText(body, PUSH_UNLOOKED_BYTES)))
      if (body !== undefined && body.length > HARMLESS_BYTES) checkValueDepth(request)
      requireSpace(grant, request.space)
      const input = { request, hash: hash('sha256', body ?? '', 'hex'), bytes: body?.length ?? 0 }
      const answer = await spaces.open(grant, request.space, (space) => log.push(space, input))
      countChanges(metrics, answer.results)
      return json(answer)
    },

    async pull(admission, { body, signal, onWaited }) {
      const request = checkPull(parseJson(bodyText(body)))
      checkTexts(request.tables)
      // I11: a cursor into a space that is not there is a cloud that lost it; a new history tells the replica so.
      const { tokenId } = admission.grant
      const poll = { request, tokenId, signal, onWaited, recheck: recheck(admission) }
      return json(
        await spaces.open(admission.grant, request.space, (space) => polls.pull({ ...poll, space })),
      )
    },

    async read({ grant }, { body }) {
      const request = checkRead(parseJson(bodyText(body)))
      checkTexts(request.records, '/records')
      return json(await spaces.find(grant, request.space, (space) => log.read(space, request)))
    },

    async hydrate(admission, { query, resume, signal }) {
      const { tables } = query ?? {}
      const asked = checkHydrate({ ...query, ...(typeof tables === 'string' ? { tables: [tables] } : {}) })
      checkTexts(asked.tables)
      const place = resume === undefined ? undefined : readPlace(resume)
      const hydrate = (space: string) =>
        startHydrateLines({
          log,
          space,
          query: asked,
          resume: place,
          page: limits.hydratePage,
          signal,
          async recheck() {
            if (stopped) throw new TidemarkError('unavailable')
            await recheck(admission)()
          },
        })
      const lines = await spaces.open(admission.grant, asked.space, hydrate)
      return { kind: 'lines', lines }
    },

    async batch({ grant }, { body }) {
      requireSpace(grant, grant.defaultSpace)
      const tables = readBatch(bodyText(body))
      return json(
        await spaces.open(grant, grant.defaultSpace, (space) => writeBatch(log, clock, space, tables)),
      )
    },

    async status({ grant }, { query }) {
      const { space } = checkSpace({ ...query })
      return json({ space, ...(await spaces.find(grant, space, (id) => log.status(id))) })
    },

    async schema({ grant }, { query }) {
      const { space } = checkSpace({ ...query })
      return json(await spaces.find(grant, space, (id) => log.readSchema(id)))
    },

    async putSchema({ grant }, { body }) {
      const request = checkSchema(parseJson(bodyText(body)))
      checkTexts(request.tables, '/tables')
      const { tables } = request
      return json(await spaces.open(grant, request.space, (space) => log.putSchema(space, tables)))
    },

    devices: async ({ grant }) => json({ devices: await directory.listDevices(grant.account) }),

    async registerDevice({ grant }, { body }) {
      const input = checkDevice(parseJson(bodyText(body)))
      checkTexts(input)
      return json(await registerDevice(directory, grant, input))
    },

    async renameDevice({ grant }, { id, body }) {
      const { name } = checkRename(parseJson(bodyText(body)))
      checkTexts(name, '/name')
      return json(await renameDevice(directory, grant, checkId(id), name))
    },

    deregisterDevice: async ({ grant }, { id }) =>
      json(await deregisterDevice(directory, grant, checkId(id))),
  }

  const admit: Handler['admit'] = (route, credentials) =>
    reportFailure(logger, { route, request: credentials.request }, () =>
      admitRequest(directory, open, route, credentials),
    )
  const answer: Handler['answer'] = (admission, input) =>
    reportFailure(logger, { route: admission.route, request: admission.credentials.request }, () =>
      answers[admission.route](admission, input),
    )

  return {
    admit,
    answer,
    handle: async (request) => answer(await admit(request.route, request), request),
    stop() {
      stopped = true
      polls.stop()
    },
  }
}

/** How fast heads rise, and what becomes of what is pushed; a repeat counts again, since it is answered again. */
function countChanges(metrics: Metrics, results: readonly PushResult[]): void {
  const counts = { ok: 0, conflict: 0, taken: 0, rejected: 0 }
  for (const { status } of results) counts[status]++
  for (const result of ['ok', 'conflict', 'taken', 'rejected'] as const)
    if (counts[result] > 0) metrics.count('changes', { result }, counts[result])
}

const json = (value: object): CloudAnswer => ({ kind: 'json', value })
