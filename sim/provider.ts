import type { CloudAnswer, CloudRequest, Handler } from '../src/cloud/handler/handler.ts'
import { TidemarkError } from '../src/kernel/errors.ts'
import type { Provider } from '../src/engine/provider.ts'
import type { HydrateRead, HydrateStart, PullAnswer, ReadAnswer } from '../src/protocol/pull.ts'
import type { PushAnswer, PushRequest } from '../src/protocol/push.ts'
import type { WireRecord } from '../src/protocol/records.ts'
import type { SchemaAnswer } from '../src/protocol/schema.ts'
import type { SpaceStatus } from '../src/protocol/status.ts'
import { PROTOCOL_VERSION } from '../src/protocol/version.ts'
import { tokenOf } from './directory.ts'
import type { Link, Network, Serving } from './network.ts'
import type { Owner } from './scheduler.ts'

/** Milliseconds a long poll may take before the client gives it up. */
const POLL_TIMEOUT_MS = 70_000

export interface ProviderPlace {
  readonly owner: Owner
  readonly link: Link
  readonly network: Network
  readonly serving: Serving<Handler>
  /** Limits of one page, so that small spaces have several. */
  readonly pullLimit: number
  /** Sees every push before it leaves. */
  readonly onPush: (body: string) => void
  readonly remark: (line: () => string) => void
}

/** A cloud as one replica reaches it: the real handler, behind messages that may be lost. */
export function createProvider(place: ProviderPlace): Provider {
  const { owner, link, network, serving } = place
  const credentials = { token: tokenOf(link.name), device: link.name, protocol: String(PROTOCOL_VERSION) }

  function ask<T>(
    label: string,
    request: Omit<CloudRequest, 'token' | 'device' | 'protocol'>,
    signal: AbortSignal,
    timeoutMs?: number,
  ): Promise<T> {
    const work = async (handler: Handler, gone: AbortSignal): Promise<T> =>
      jsonOf(await handler.handle({ ...credentials, ...request, signal: gone }))
    return network.call(owner, link, serving, label, work, signal, timeoutMs)
  }

  return {
    name: 'simulated',
    async push(body, signal) {
      place.onPush(body)
      place.remark(() => `${link.name}   sends ${describePush(body)}`)
      const answer = await ask<PushAnswer>('push', { route: 'push', body }, signal)
      place.remark(() => `${link.name}   is answered ${JSON.stringify(answer.results)}`)
      return answer
    },
    pull(request, signal) {
      const body = JSON.stringify({ limit: place.pullLimit, ...request })
      if (request.wait === undefined) return ask<PullAnswer>('pull', { route: 'pull', body }, signal)
      return ask<PullAnswer>('poll', { route: 'pull', body }, signal, POLL_TIMEOUT_MS)
    },
    read: (request, signal) =>
      ask<ReadAnswer>('read', { route: 'read', body: JSON.stringify(request) }, signal),
    readSchema: (space, signal) => ask<SchemaAnswer>('schema', { route: 'schema', query: { space } }, signal),
    putSchema: (request, signal) =>
      ask<SchemaAnswer>('putSchema', { route: 'putSchema', body: JSON.stringify(request) }, signal),
    status: (space, signal) => ask<SpaceStatus>('status', { route: 'status', query: { space } }, signal),
    async *hydrate({ space, replica, tables, resume }, signal) {
      const query = { space, replica, ...(tables === undefined ? {} : { tables }) }
      const header =
        resume === undefined ? undefined : Buffer.from(JSON.stringify(resume)).toString('base64url')
      const open = async (handler: Handler, gone: AbortSignal): Promise<AsyncIterator<string>> => {
        const answer = await handler.handle({
          ...credentials,
          route: 'hydrate',
          query,
          resume: header,
          signal: gone,
        })
        if (answer.kind !== 'lines') throw new TidemarkError('bad_answer')
        return answer.lines[Symbol.asyncIterator]()
      }
      let started = false
      let ended = false
      for await (const text of network.stream(owner, link, serving, 'hydrate', open, signal)) {
        const lines = text.split('\n').filter((line) => line !== '')
        const records: WireRecord[] = []
        let read: number | null = null
        for (const line of lines) {
          const parsed = JSON.parse(line) as HydrateStart | HydrateRead | WireRecord | { readonly end: true }
          if (!started) {
            started = true
            yield { kind: 'start', start: parsed as HydrateStart }
          } else if ('end' in parsed) ended = true
          else if ('read' in parsed) read = parsed.read
          else records.push(parsed as WireRecord)
        }
        if (read !== null) yield { kind: 'records', records, read }
        else if (records.length > 0) yield { kind: 'records', records }
      }
      if (!ended) throw new TidemarkError('network', 'The stream ended before its end')
    },
  }
}

function describePush(body: string): string {
  const { mutation, force, part, changes, cursor } = JSON.parse(body) as PushRequest
  return JSON.stringify({ mutation, force, part, at: cursor?.version, changes })
}

function jsonOf<T>(answer: CloudAnswer): T {
  if (answer.kind !== 'json') throw new TidemarkError('bad_answer')
  return answer.value as T
}
