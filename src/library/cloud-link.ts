import type { Provider } from '../engine/provider.ts'
import { toTidemarkError, type ErrorCode, type TidemarkError } from '../kernel/errors.ts'
import { connectCloud, type CloudConnection } from '../machine/cloud.ts'
import type { Credentials } from '../machine/device.ts'
import { toSystemError } from '../machine/failures.ts'
import type { Machine } from '../machine/machine.ts'
import { createCloudProvider } from '../providers/cloud/provider.ts'
import type { Contact } from './contact.ts'
import { shareWork } from './shared-work.ts'

/** What is asked of one cloud, with the device's own token, noted in a `Contact`. */
export interface CloudLink {
  /** As the engine asks; opened with the first call, and anew after every failure to be met. */
  readonly engine: Provider
  /**
   * One request by hand. Rejects with a `TidemarkError`; with a code of `plain` it concerns that request alone, and
   * says nothing of the connection.
   */
  ask<T>(
    work: (connection: CloudConnection) => Promise<T>,
    signal: AbortSignal,
    plain?: ReadonlySet<ErrorCode>,
  ): Promise<T>
  /** The token of this device is another one from now on. */
  renew(): void
}

const NONE: ReadonlySet<ErrorCode> = new Set()

/** Touches no network. Throws `config_invalid` when endpoint or token cannot be used. */
export function createCloudLink(
  machine: Machine,
  credentials: Credentials,
  readSpace: () => Promise<string>,
  contact: Contact,
): CloudLink {
  const { clock, fetch } = machine
  const options = { ...credentials, clock, ...(fetch === undefined ? {} : { fetch }) }
  const { name } = createCloudProvider(options)
  let opened: CloudConnection | null = null
  const open = shareWork(async (signal) => {
    try {
      return (opened = await connectCloud(machine, credentials, signal))
    } catch (thrown) {
      const failure = toSystemError(thrown)
      if (failure.code !== 'aborted') contact.lost(failure)
      throw failure
    }
  })
  const connect = async (signal: AbortSignal): Promise<CloudConnection> => opened ?? (await open(signal))

  /** What a call came to, as it is thrown on. */
  const judge = async (
    thrown: unknown,
    connection: CloudConnection,
    signal: AbortSignal,
    plain: ReadonlySet<ErrorCode> = NONE,
  ): Promise<TidemarkError> => {
    const failure = await explain(toTidemarkError(thrown), connection, signal)
    // What an older connection came to says nothing of the one in use.
    if (plain.has(failure.code) || opened !== connection) return failure
    contact.failed(failure)
    // The next call looks for a token again: it may have come meanwhile, here or by another process.
    if (!contact.isConnected) opened = null
    return failure
  }

  /**
   * The cloud says of a device's own token only that it was revoked: asked with the given one it says whether
   * the device was deregistered. That registers nothing.
   */
  const explain = async (
    failure: TidemarkError,
    { isOwn, device }: CloudConnection,
    signal: AbortSignal,
  ): Promise<TidemarkError> => {
    if (failure.code !== 'token_revoked' || !isOwn) return failure
    const given = createCloudProvider({ ...options, device })
    const second = await given.status(await readSpace(), signal).then(() => null, toTidemarkError)
    return second?.code === 'device_deregistered' || second?.code === 'aborted' ? second : failure
  }

  const ask: CloudLink['ask'] = async (work, signal, plain) => {
    const connection = await connect(signal)
    try {
      const answer = await work(connection)
      contact.met()
      return answer
    } catch (thrown) {
      throw await judge(thrown, connection, signal, plain)
    }
  }

  const engine: Provider = {
    name,
    push: (body, signal, packed) => ask(({ provider }) => provider.push(body, signal, packed), signal),
    pull: (request, signal) => ask(({ provider }) => provider.pull(request, signal), signal),
    async *hydrate(request, signal) {
      const connection = await connect(signal)
      try {
        for await (const chunk of connection.provider.hydrate(request, signal)) {
          contact.met()
          yield chunk
        }
      } catch (thrown) {
        throw await judge(thrown, connection, signal)
      }
    },
    read: (request, signal) => ask(({ provider }) => provider.read(request, signal), signal),
    readSchema: (name, signal) => ask(({ provider }) => provider.readSchema(name, signal), signal),
    putSchema: (request, signal) => ask(({ provider }) => provider.putSchema(request, signal), signal),
    status: (name, signal) => ask(({ provider }) => provider.status(name, signal), signal),
  }
  return {
    engine,
    ask,
    renew() {
      opened = null
    },
  }
}
