import type { EngineEvent } from '../engine/engine.ts'
import type { Patience } from '../engine/patience.ts'
import type { SyncResult } from '../engine/waiters.ts'
import type { EngineStatus } from '../engine/status.ts'
import type { Clock } from '../kernel/clock.ts'
import { TidemarkError } from '../kernel/errors.ts'
import { AsyncDisposableStack } from '../kernel/disposable-stack.ts'
import { fileTag } from '../machine/files.ts'
import { writeStatus } from './attachments.ts'
import { borrowFile } from './borrow.ts'
import { serveControl, socketPath, type ControlServer } from './control.ts'
import { runFolder, type Folders } from '../machine/folders.ts'
import { lockFile } from '../machine/file-lock.ts'
import { watchPlace } from './place.ts'
import type { Replica } from './replica.ts'

/** The last status is written for other processes at most this often, in milliseconds. */
const STATUS_EVERY_MS = 1_000

/** A replica that is kept in step until it is closed; commands of other processes reach it. */
export interface RunningReplica extends AsyncDisposable {
  readonly replica: Replica
  /** Resolves when the file at the path is no longer the one that was opened: this replica is to be closed then. */
  readonly replaced: Promise<void>
  status(): Promise<EngineStatus>
  /** One whole cycle: the first of all where the engine was not started yet. */
  syncNow(options?: { readonly signal?: AbortSignal; readonly patience?: Patience }): Promise<SyncResult>
}

export interface HoldOptions {
  readonly listener?: (event: EngineEvent) => void
  /** A command's: the daemon lets the file go for as long as it is held. */
  readonly borrow?: boolean
  /**
   * Called when a command wants to work on the file: resolves once this replica is closed; `gone` is aborted when
   * that command is through. Absent: whoever wants the file is refused.
   */
  readonly release?: (gone: AbortSignal) => Promise<void>
}

/** As `holdReplica`, and its engine begins. Nothing is left behind where it cannot. */
export async function runReplica(...args: Parameters<typeof holdReplica>): Promise<RunningReplica> {
  const running = await holdReplica(...args)
  try {
    await running.replica.engine.start()
    return running
  } catch (error) {
    await running[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * A replica under the file's lock that other processes reach; its engine begins with the first `syncNow`, of theirs or
 * of this one. Throws `in_use` when another process works on the file; nothing is left behind then.
 */
export async function holdReplica(
  folders: Folders,
  open: () => Promise<Replica>,
  file: string,
  clock: Clock,
  { listener, borrow = false, release }: HoldOptions = {},
): Promise<RunningReplica> {
  const folder = runFolder(folders)
  const tag = fileTag(file)
  await using stack = new AsyncDisposableStack()
  const lock = borrow ? await borrowFile(folders, file, clock) : lockFile(folders, file)
  stack.defer(() => lock.release())
  let control: ControlServer | null = null
  // After the engine's end, which ends the waiting of those that asked.
  stack.defer(() => control?.answered())
  const replica = await open()
  stack.use(replica)
  const place = watchPlace(replica.file, clock)
  stack.defer(() => place.close())
  const keeper = keepStatus(folders, replica, clock)
  stack.defer(() => keeper.close())
  if (listener !== undefined) replica.engine.on(listener)
  control = await serveControl(socketPath(folder, tag), async ({ command }, gone) => {
    if (command === 'now') return replica.engine.runOnce()
    if (command === 'release' && release !== undefined) return release(gone)
    if (command === 'release' || command === 'stop')
      throw new TidemarkError('bad_usage', 'the process that works on the file does not take this command')
    if (command === 'pause') replica.engine.pause()
    if (command === 'resume') await replica.engine.resume()
    return { pid: process.pid, ...(await statusOf(replica)) }
  })
  stack.defer(() => control?.stop())
  const owned = stack.move()
  return {
    replica,
    replaced: place.replaced,
    status: () => statusOf(replica),
    syncNow: (options) => replica.engine.runOnce(options),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** The engine's status, with what an earlier process knew where this one has nothing to tell yet. */
async function statusOf({ engine, earlier }: Replica): Promise<EngineStatus> {
  const status = await engine.status()
  return {
    ...status,
    lastSyncAt: status.lastSyncAt ?? earlier?.lastSyncAt ?? null,
    lastReset: status.lastReset ?? earlier?.lastReset ?? null,
  }
}

/** Writes the status after changes, not at each of them, and at the end. */
function keepStatus(folders: Folders, replica: Replica, clock: Clock): { close(): Promise<void> } {
  let cancel: (() => void) | null = null
  let cloud = replica.earlier?.cloud ?? null
  const write = async () => {
    const { state, reason, lastSyncAt, lastReset } = await statusOf(replica)
    writeStatus(folders, replica.file, { state, reason, lastSyncAt, lastReset, cloud })
  }
  const off = replica.engine.on(({ type }) => {
    if (type === 'synced') cloud = replica.cloud
    if (type !== 'synced' && type !== 'error') return
    cancel ??= clock.after(STATUS_EVERY_MS, () => {
      cancel = null
      void write().catch(() => {})
    })
  })
  return {
    async close() {
      off()
      cancel?.()
      await write().catch(() => {})
    },
  }
}
