import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'

import { sleep, type Clock } from '../../kernel/clock.ts'
import { placeOf } from '../../machine/files.ts'
import { KEEP } from './daemon-log.ts'
import { rolledName } from './rolling-file.ts'

/** How often a log that is followed is looked at, in milliseconds. */
const LOOK_EVERY_MS = 250
const CHUNK_BYTES = 65_536

/** The last lines of a log, the older files of it included. */
export function readLastLines(path: string, count: number): readonly string[] {
  let lines: readonly string[] = []
  for (let age = 0; age < KEEP && lines.length < count; age++) {
    const file = rolledName(path, age)
    if (!existsSync(file)) break
    const older = readFileSync(file, 'utf8').split('\n')
    lines = [...older.filter((line) => line !== ''), ...lines]
  }
  return count === 0 ? [] : lines.slice(-count)
}

/** Every line that comes from now on, also in the file that takes this one's place. Ends with the signal. */
export async function* followLog(path: string, clock: Clock, signal: AbortSignal): AsyncGenerator<string> {
  let file = openEnd(path, true)
  let rest = ''
  try {
    while (!signal.aborted) {
      const place = placeOf(path)
      for (let text = file?.read() ?? ''; text !== ''; text = file?.read() ?? '') {
        const lines = `${rest}${text}`.split('\n')
        rest = lines.pop() ?? ''
        yield* lines
      }
      if (place !== null && place !== file?.place) {
        file?.close()
        file = openEnd(path, false)
        continue
      }
      await sleep(clock, LOOK_EVERY_MS, signal).catch(() => {})
    }
  } finally {
    file?.close()
  }
}

interface OpenFile {
  readonly place: string | null
  read(): string
  close(): void
}

function openEnd(path: string, atEnd: boolean): OpenFile | null {
  if (!existsSync(path)) return null
  const handle = openSync(path, 'r')
  const decoder = new StringDecoder('utf8')
  const buffer = Buffer.alloc(CHUNK_BYTES)
  let at = atEnd ? readFileSync(handle).length : 0
  return {
    place: placeOf(path),
    read() {
      const bytes = readSync(handle, buffer, 0, CHUNK_BYTES, at)
      at += bytes
      return decoder.write(buffer.subarray(0, bytes))
    },
    close: () => closeSync(handle),
  }
}
