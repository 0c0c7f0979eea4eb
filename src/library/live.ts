import type { TidemarkError } from '../kernel/errors.ts'
import { followOperation } from './follow.ts'
import { createEngine, noteEnd, type EngineRules, type OperationOptions } from './operation.ts'
import type { OpenReplica } from './replica.ts'
import type { SyncResult } from './result.ts'

export interface LiveOptions
  extends Omit<EngineRules, 'onProgress'>, Pick<OperationOptions, 'maxRetries' | 'onRetries'> {
  /** Milliseconds between safety polls. */
  readonly pollMs: number
  readonly onStart: () => void
  readonly onResult: (result: SyncResult) => void
  readonly onError: (error: TidemarkError) => void
}

/** Work that goes on until it is stopped; at its end nothing of it is left. */
export interface Live {
  stop(): Promise<void>
}

/** Events that are work, and not only a look whether there is any. */
const WORK: ReadonlySet<string> = new Set(['pushed', 'applied', 'conflicts', 'quarantined'])

/**
 * An engine that goes on until it is stopped: local changes are sent at once, and the cloud's come as they happen.
 * What it does until nothing is left to do is told as one sync; that there was nothing is not told, and not noted:
 * the note itself is a write in the file, which wakes the engine.
 */
export async function startLive(replica: OpenReplica, options: LiveOptions): Promise<Live> {
  const { store, book } = replica
  const { clock, random, maxRetries, onConflict } = options
  const rules = { ...options, onProgress: () => {} }
  const follower = await followOperation({
    store,
    clock,
    operation: 'sync',
    pending: 0,
    onProgress: rules.onProgress,
    onConflict,
  })
  let isBusy = false
  let telling = Promise.resolve()
  const tell = async () => {
    const result = await follower.take()
    options.onResult(result)
    await noteEnd({ store, book, clock, random, maxRetries }, options, { result, error: null, tables: null })
  }
  const engine = await createEngine(replica, rules, follower, { listen: true, pollMs: options.pollMs })
  engine.on((event) => {
    if (event.type === 'error') options.onError(event.error)
    if (WORK.has(event.type) && !isBusy) {
      isBusy = true
      options.onStart()
    }
    if (event.type !== 'synced' || !isBusy) return
    isBusy = false
    telling = telling.then(tell).catch(() => {})
  })
  await engine.start()
  return {
    async stop() {
      await engine[Symbol.asyncDispose]()
      await telling
    },
  }
}
