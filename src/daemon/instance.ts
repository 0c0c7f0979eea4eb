import { TidemarkError } from '../kernel/errors.ts'
import { runFolder, type Folders } from '../machine/folders.ts'
import { takeLock, type ProcessLock } from '../machine/lock.ts'
import { DAEMON } from './borrow.ts'
import { askControl, socketPath } from './control.ts'

/** What a running daemon tells of itself. */
export interface DaemonNote {
  readonly pid: number
  readonly state: 'starting' | 'ready' | 'stopping'
  /** Of its API; null until it listens. */
  readonly url: string | null
  /** Milliseconds. */
  readonly startedAt: number
  readonly version: string
}

/** The daemon of these folders; null where none runs. Rejects with `in_use` where one does that does not answer. */
export async function findDaemon(folders: Folders): Promise<DaemonNote | null> {
  return (await ask(folders, 'status')) as DaemonNote | null
}

/** Asks the daemon to end; false where none runs. It ends a while later. */
export async function askToStop(folders: Folders): Promise<boolean> {
  return (await ask(folders, 'stop')) !== null
}

function ask(folders: Folders, command: 'status' | 'stop'): Promise<unknown> {
  return askControl(socketPath(runFolder(folders), DAEMON), { command }).catch((error: unknown) => {
    if (error instanceof TidemarkError && error.code === 'in_use') throw error
    return null
  })
}

/** D8: one daemon a data folder. Throws `in_use`, naming the other one. */
export async function takeDaemonLock(folders: Folders): Promise<ProcessLock> {
  try {
    return takeLock(runFolder(folders), DAEMON)
  } catch (thrown) {
    if (!(thrown instanceof TidemarkError) || thrown.code !== 'in_use') throw thrown
    const other = await findDaemon(folders).catch(() => null)
    if (other === null) throw thrown
    const { pid, url, startedAt } = other
    const since = new Date(startedAt).toISOString()
    const where = url === null ? '' : ` at ${url}`
    throw new TidemarkError(
      'in_use',
      `A daemon already runs for this data folder: process ${pid}${where}, since ${since}`,
      { details: { pid, ...(url === null ? {} : { url }), since, folder: folders.data }, cause: thrown },
    )
  }
}
