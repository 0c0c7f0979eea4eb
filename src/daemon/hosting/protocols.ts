import { backOffMs } from '../../kernel/back-off.ts'
import type { Clock } from '../../kernel/clock.ts'
import type { TidemarkError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'
import { toSystemError } from '../../machine/failures.ts'
import { parseEndpoint } from '../../providers/cloud/endpoint.ts'
import { findProtocol, type KnownProtocols, type Protocol } from '../batch/probe.ts'
import { createEndpointLine } from '../batch/request.ts'
import type { SyncSettings } from './sync-settings.ts'

/** What the endpoints of profiles speak. */
export interface Protocols {
  /** Null: not known yet, or sync is off. */
  of(settings: SyncSettings): Protocol | null
  /** Why it is not known. */
  problem(settings: SyncSettings): TidemarkError | null
  /** The network may be back: whoever could not be asked is asked now. */
  awake(): void
  close(): Promise<void>
}

interface Asked {
  /** With the newest token. */
  settings: SyncSettings
  protocol: Protocol | null
  problem: TidemarkError | null
  readonly stop: AbortController
  /** Ends the pause before the next try. */
  again: () => void
  done: Promise<void>
}

/** `found` is called when something new is known. Endpoints are asked until they answer, with longer and longer pauses. */
export function createProtocols(options: {
  readonly known: KnownProtocols
  readonly clock: Clock
  readonly random: Random
  readonly fetch?: typeof globalThis.fetch | undefined
  readonly found: () => void
}): Protocols {
  const { known, clock, random, fetch, found } = options
  const asked = new Map<string, Asked>()
  let closed = false

  const ask = async (one: Asked): Promise<void> => {
    for (let failures = 1; !one.stop.signal.aborted; failures++) {
      const { engine, protocol } = one.settings
      if (engine === null) return
      try {
        const line = createEndpointLine({ ...engine.connection, clock, fetch })
        one.protocol = await findProtocol(protocol, known, line, one.stop.signal)
        one.problem = null
        return found()
      } catch (thrown) {
        if (one.stop.signal.aborted) return
        one.problem = toSystemError(thrown)
        found()
        const ms = backOffMs(failures, random, { retryAfterMs: one.problem.retryAfterMs ?? 0 })
        await new Promise<void>((resolve) => {
          const cancel = clock.after(ms, resolve)
          one.again = () => {
            cancel()
            resolve()
          }
        })
      }
    }
  }
  const find = (settings: SyncSettings): Asked | null => {
    const { engine, protocol, profile } = settings
    if (engine === null || closed) return null
    const { base } = parseEndpoint(engine.connection.endpoint)
    const name = `${profile} ${protocol} ${base}`
    const there = asked.get(name)
    if (there !== undefined) {
      there.settings = settings
      return there
    }
    for (const [other, one] of asked) {
      if (!other.startsWith(`${profile} `)) continue
      // What was found is kept until endpoint or setting change.
      known.forget(base)
      asked.delete(other)
      end(one)
    }
    const one: Asked = {
      settings,
      protocol: protocol === 'auto' ? known.get(base) : protocol,
      problem: null,
      stop: new AbortController(),
      again: () => {},
      done: Promise.resolve(),
    }
    asked.set(name, one)
    if (one.protocol === null) one.done = ask(one)
    return one
  }
  const end = (one: Asked): void => {
    one.stop.abort()
    one.again()
  }
  return {
    of: (settings) => find(settings)?.protocol ?? null,
    problem: (settings) => find(settings)?.problem ?? null,
    awake() {
      for (const one of asked.values()) one.again()
    },
    async close() {
      closed = true
      for (const one of asked.values()) end(one)
      await Promise.all([...asked.values()].map(({ done }) => done))
    },
  }
}
