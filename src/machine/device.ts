import { createHash } from 'node:crypto'
import { hostname, platform } from 'node:os'
import { join } from 'node:path'

import type { Clock } from '../kernel/clock.ts'
import { uuidV7, type Random } from '../kernel/random.ts'
import { HEADERS, ROUTES } from '../protocol/routes.ts'
import type { DeviceAnswer } from '../protocol/status.ts'
import { PROTOCOL_VERSION } from '../protocol/version.ts'
import type { Folders } from './folders.ts'
import { changePrivateFile, readPrivateFile } from './private-file.ts'

/** This machine, as the cloud lists it. */
export interface LocalDevice {
  readonly id: string
  readonly name: string
}

/** Where and with what to speak. */
export interface Credentials {
  readonly endpoint: string
  readonly token: string | null
}

interface DeviceFile extends LocalDevice {
  /** By endpoint: a token of this device, and the hash of the one it was got with. */
  readonly tokens: { readonly [endpoint: string]: { readonly token: string; readonly from: string } }
}

/** Registering is worth a moment, not a wait: what it brings can be had the next time. */
const REGISTER_TIMEOUT_MS = 5_000

/**
 * The device's own token for this cloud: it stops when the device is deregistered, and only then. The first time
 * the device is registered with the token given; where that may not register devices, or the cloud is out of
 * reach, the given token goes on being used.
 */
export async function deviceToken(
  folders: Folders,
  credentials: Credentials,
  chance: { readonly clock: Clock; readonly random: Random },
): Promise<{ readonly token: string | null; readonly device: string }> {
  const { id, name, tokens } = readDevice(folders, chance)
  const { endpoint, token } = credentials
  if (token === null) return { token, device: id }
  const from = createHash('sha256').update(token).digest('hex')
  const known = tokens[endpoint]
  if (known?.from === from) return { token: known.token, device: id }
  const own = await register(endpoint, token, { id, name })
  if (own === null) return { token, device: id }
  changeDevice(folders, chance, (file) => ({
    ...file,
    tokens: { ...file.tokens, [endpoint]: { token: own, from } },
  }))
  return { token: own, device: id }
}

/** This machine's device, made with the first call. */
export function readDevice(
  folders: Folders,
  chance: { readonly clock: Clock; readonly random: Random },
): DeviceFile {
  const text = readPrivateFile(devicePath(folders))
  return text === null ? changeDevice(folders, chance, (file) => file) : (JSON.parse(text) as DeviceFile)
}

async function register(endpoint: string, token: string, device: LocalDevice): Promise<string | null> {
  try {
    const answer = await fetch(`${endpoint}${ROUTES.registerDevice.path}`, {
      method: ROUTES.registerDevice.method,
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        [HEADERS.protocol]: String(PROTOCOL_VERSION),
      },
      body: JSON.stringify({ ...device, platform: platform() }),
      signal: AbortSignal.timeout(REGISTER_TIMEOUT_MS),
    })
    if (!answer.ok) return null
    const { token: own } = (await answer.json()) as DeviceAnswer
    return typeof own === 'string' ? own : null
  } catch {
    return null
  }
}

function changeDevice(
  folders: Folders,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  change: (file: DeviceFile) => DeviceFile,
): DeviceFile {
  let file: DeviceFile | null = null
  changePrivateFile(
    devicePath(folders),
    () => clock.now(),
    (text) => {
      const before =
        text === null
          ? { id: uuidV7(clock.now(), random), name: hostname(), tokens: {} }
          : (JSON.parse(text) as DeviceFile)
      file = change(before)
      return `${JSON.stringify(file, null, 2)}\n`
    },
  )
  return file as unknown as DeviceFile
}

const devicePath = (folders: Folders): string => join(folders.data, 'device.json')
