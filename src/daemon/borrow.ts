import { sleep, type Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { fileTag } from '../machine/files.ts'
import { lockFile } from '../machine/file-lock.ts'
import { runFolder, type Folders } from '../machine/folders.ts'
import type { ProcessLock } from '../machine/lock.ts'
import { askControl, openControl, socketPath, type Asked } from './control.ts'

/** The name of the daemon's own lock and socket. */
export const DAEMON = 'daemon'

/** How often, and after which pause in milliseconds, a file is asked for that the daemon is just opening. */
const TRIES = 100
const PAUSE_MS = 100

/**
 * The lock of a file for a command that works on it for a while. A daemon, or a `tidemark run`, that keeps it in step
 * lets go of it and takes it back when the lock is released or this process ends. Throws `in_use` where anybody else
 * works on it.
 */
export async function borrowFile(
  folders: Folders,
  file: string,
  clock: Clock,
  signal?: AbortSignal,
): Promise<ProcessLock> {
  const path = socketPath(runFolder(folders), fileTag(file))
  let lease: Asked | null = null
  for (let tries = 1; ; tries++) {
    try {
      const lock = lockFile(folders, file)
      return {
        release() {
          lock.release()
          lease?.close()
        },
      }
    } catch (error) {
      try {
        if (!(error instanceof TidemarkError) || error.code !== 'in_use' || tries >= TRIES) throw error
        if (lease === null) {
          lease = await askToLetGo(path, error)
          if (lease !== null) continue
          // Between taking the lock and listening the daemon hears nobody: it will.
          if (!(await isDaemonThere(folders))) throw error
        }
        await pause(clock, signal)
      } catch (thrown) {
        lease?.close()
        throw thrown
      }
    }
  }
}

/** Null: nobody listens. Throws `inUse` where the process that does is not one that lets go. */
async function askToLetGo(path: string, inUse: TidemarkError): Promise<Asked | null> {
  try {
    return await openControl(path, { command: 'release' })
  } catch {
    throw inUse
  }
}

const isDaemonThere = async (folders: Folders): Promise<boolean> =>
  (await askControl(socketPath(runFolder(folders), DAEMON), { command: 'status' }).catch(() => null)) !== null

async function pause(clock: Clock, signal: AbortSignal | undefined): Promise<void> {
  await sleep(clock, PAUSE_MS, signal).catch(() => {
    throw new TidemarkError('aborted')
  })
}
