import { createHash } from 'node:crypto'
import { hostname, platform } from 'node:os'
import { join } from 'node:path'

import { TidemarkError, toTidemarkError, type ErrorCode } from '../kernel/errors.ts'
import { uuidV7 } from '../kernel/random.ts'
import type { Device, DeviceAnswer, DeviceInput } from '../protocol/status.ts'
import { createDeviceClient, type DeviceClient } from '../providers/cloud/devices.ts'
import { createWatch } from '../providers/cloud/watch.ts'
import type { Folders } from './folders.ts'
import type { Machine } from './machine.ts'
import { changePrivateFile, readPrivateFile } from './private-file.ts'

/** Where and with what to speak. */
export interface Credentials {
  readonly endpoint: string
  readonly token: string | null
}

/** With what to speak as this device. */
export interface DeviceToken {
  readonly token: string | null
  /** The id of this device. */
  readonly device: string
  /** The token is bound to this device. */
  readonly isOwn: boolean
}

interface DeviceFile {
  readonly id: string
  /** At first the host's. */
  readonly name: string
  /** Tokens of this device; by endpoint and a hash of the token each was got with. */
  readonly tokens: { readonly [place: string]: string }
}

/** Registering on the way is worth a moment, not a wait: what it brings can be had the next time. */
const REGISTER_TIMEOUT_MS = 5_000
const HASH_CHARS = 32
const NEVER = new AbortController().signal

/**
 * The device's own token for this cloud: it stops when the device is deregistered, and only then; what stopped is
 * not renewed by itself. The first time the device is registered with the token given; where that may not register
 * devices, or the cloud is out of reach, the given token goes on being used. Rejects with `aborted`.
 */
export async function deviceToken(
  machine: Machine,
  credentials: Credentials,
  signal: AbortSignal = NEVER,
): Promise<DeviceToken> {
  const { token } = credentials
  const file = readDevice(machine.folders) ?? changeDevice(machine, (made) => made)
  const device = file.id
  if (token === null) return { token, device, isOwn: false }
  const known = file.tokens[placeOf(credentials.endpoint, token)]
  if (known !== undefined) return { token: known, device, isOwn: true }
  const own = await registerQuickly(machine, credentials, inputOf(file), signal)
  if (own === null) return { token, device, isOwn: false }
  changeDevice(machine, (now) => withToken(now, credentials.endpoint, token, own))
  return { token: own, device, isOwn: true }
}

/** This machine, as the cloud lists it: made with the first call. */
export const localDevice = (machine: Machine): DeviceInput =>
  inputOf(readDevice(machine.folders) ?? changeDevice(machine, (made) => made))

/**
 * Registers this machine, again where it was deregistered, and keeps the name and the token it got. Without a name
 * it keeps the one it has. Asks with the device's own token while that works, so that a repeat makes no other one.
 * Changes nothing here when it rejects.
 */
export async function registerDevice(
  machine: Machine,
  credentials: Credentials,
  name?: string,
  signal: AbortSignal = NEVER,
): Promise<Device> {
  const { endpoint, token } = credentials
  const file = readDevice(machine.folders) ?? changeDevice(machine, (made) => made)
  const input = { ...inputOf(file), ...(name === undefined ? {} : { name }) }
  const known = token === null ? undefined : file.tokens[placeOf(endpoint, token)]
  const answer = await registerAs(machine, { endpoint, token: known ?? token }, input, signal).catch(
    (thrown: unknown) => {
      if (known === undefined || !STOPPED.has(toTidemarkError(thrown).code)) throw thrown
      return registerAs(machine, credentials, input, signal)
    },
  )
  const own = token === null ? undefined : answer.token
  if (own !== undefined || input.name !== file.name) {
    changeDevice(machine, (now) => {
      const renamed = { ...now, name: input.name }
      return own === undefined || token === null ? renamed : withToken(renamed, endpoint, token, own)
    })
  }
  return answer.device
}

/** Forgets the device's own token that was got with this one. The cloud goes on taking it until it is revoked. */
export function forgetToken(machine: Machine, { endpoint, token }: Credentials): void {
  if (token === null || readDevice(machine.folders) === null) return
  changeDevice(machine, (file) => {
    const { [placeOf(endpoint, token)]: _, ...tokens } = file.tokens
    return { ...file, tokens }
  })
}

/** What the cloud says to a token of this device that is over. */
export const STOPPED: ReadonlySet<ErrorCode> = new Set([
  'unauthorized',
  'token_revoked',
  'device_deregistered',
])

async function registerAs(
  machine: Machine,
  credentials: Credentials,
  input: DeviceInput,
  signal: AbortSignal,
): Promise<DeviceAnswer> {
  const client = openClient(machine, credentials)
  if (credentials.token !== null) return client.register(input, signal)
  // Each registering without a token makes one, which nobody here would use.
  const known = (await client.list(signal)).find(({ id }) => id === input.id)
  if (known === undefined || known.deregistered_at !== undefined || known.platform !== input.platform)
    return client.register(input, signal)
  return { device: known.name === input.name ? known : await client.rename(input.id, input.name, signal) }
}

/** The new token; null where there is none to be had now. Rejects with `aborted`. */
async function registerQuickly(
  machine: Machine,
  credentials: Credentials,
  input: DeviceInput,
  signal: AbortSignal,
): Promise<string | null> {
  const watch = createWatch(machine.clock, signal, 'the cloud')
  try {
    const work = async () => openClient(machine, credentials).register(input, watch.signal)
    return (await watch.within(REGISTER_TIMEOUT_MS, work)).token ?? null
  } catch {
    if (signal.aborted) throw new TidemarkError('aborted')
    return null
  } finally {
    watch.close()
  }
}

const openClient = ({ clock, fetch }: Machine, credentials: Credentials): DeviceClient =>
  createDeviceClient({ ...credentials, clock, ...(fetch === undefined ? {} : { fetch }) })

const inputOf = ({ id, name }: DeviceFile): DeviceInput => ({ id, name, platform: platform() })

/** Each given token has its own: programs with different ones take turns on one machine. */
const placeOf = (endpoint: string, token: string): string =>
  `${endpoint} ${createHash('sha256').update(token).digest('hex').slice(0, HASH_CHARS)}`

const withToken = (file: DeviceFile, endpoint: string, token: string, own: string): DeviceFile => ({
  ...file,
  tokens: { ...file.tokens, [placeOf(endpoint, token)]: own },
})

/** Null where there is none yet. */
function readDevice(folders: Folders): DeviceFile | null {
  const path = devicePath(folders)
  const text = readPrivateFile(path)
  return text === null ? null : parseDevice(path, text)
}

/** Throws `config_invalid`; the parser's own message would quote the file, and that has tokens. */
function parseDevice(path: string, text: string): DeviceFile {
  try {
    const file: unknown = JSON.parse(text)
    if (isDeviceFile(file)) return file
  } catch {
    // As below.
  }
  throw new TidemarkError('config_invalid', 'The file that says who this device is cannot be read', {
    details: { file: path },
  })
}

function isDeviceFile(file: unknown): file is DeviceFile {
  if (typeof file !== 'object' || file === null) return false
  const { id, name, tokens } = file as { readonly [name: string]: unknown }
  return typeof id === 'string' && typeof name === 'string' && typeof tokens === 'object' && tokens !== null
}

function changeDevice(
  { folders, clock, random }: Machine,
  change: (file: DeviceFile) => DeviceFile,
): DeviceFile {
  const path = devicePath(folders)
  let file: DeviceFile | null = null
  changePrivateFile(path, (text) => {
    const before =
      text === null
        ? { id: uuidV7(clock.now(), random), name: hostname(), tokens: {} }
        : parseDevice(path, text)
    file = change(before)
    return `${JSON.stringify(file, null, 2)}\n`
  })
  return file as unknown as DeviceFile
}

const devicePath = (folders: Folders): string => join(folders.data, 'device.json')
