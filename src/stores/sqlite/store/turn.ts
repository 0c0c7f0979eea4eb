import { sleep, type Clock } from '../../../kernel/clock.ts'
import { TidemarkError } from '../../../kernel/errors.ts'
import { BUSY_MS, type Connection, type Driver, type OpenOptions } from '../driver/driver.ts'
import { SqliteFailure } from '../driver/failure.ts'

/**
 * Runs synchronous work of the store when it may begin. In a process of its own that is at once: who holds the lock
 * is somebody else, and SQLite waits for him. In the application's process it may be a transaction that is to go on
 * after an `await`: waiting for that one inside SQLite would stop the very thread that is to finish it.
 */
export type Turn = <T>(work: () => T) => Promise<T>

export const atOnce: Turn = async (work) => {
  await Promise.resolve()
  return work()
}

/** How long it is waited between two looks, from the first to the longest, in milliseconds. */
const FIRST_LOOK_MS = 1
const LAST_LOOK_MS = 25
/** How long it is waited yet after the signal, in milliseconds. */
const PARTING_MS = 50

export interface TurnOptions {
  readonly file: string
  readonly driver: Driver
  readonly clock: Clock
  /** Called with the connection that looks at the lock, as with every other: `OpenOptions`. */
  readonly setup?: OpenOptions['setup']
  /** Milliseconds after which a turn that does not come is `database_locked`. Default `BUSY_MS`. */
  readonly waitMs?: number
  /**
   * Keeps the application's transactions out, as far as it can, while one look is taken and the work is done; the answer
   * lets them in again. `attempt` counts the looks of one turn from 0: nothing is kept out between two.
   */
  readonly enter?: (attempt: number) => Promise<() => Promise<void> | void>
  /**
   * The application has a transaction open. One that has only read holds no lock, but could not write any more if
   * somebody else wrote before it.
   */
  readonly isInside?: () => boolean
  /** Once it aborts, nobody waits for long any more: what can have its turn at once still has it. */
  readonly signal?: AbortSignal
}

/** Turns beside an application in the same process. */
export interface Turns extends Disposable {
  readonly turn: Turn
}

/** Waits, without stopping the thread, until nobody is in the midst of a write, and works then. */
export function takeTurns(options: TurnOptions): Turns {
  const { file, driver, clock, setup, waitMs = BUSY_MS, enter, isInside = () => false, signal } = options
  let look: Connection | null = null
  let closed = false

  const isFree = (): boolean => {
    // Opened again it would stay open: nobody closes it a second time.
    if (closed) throw new TidemarkError('aborted', 'the file was closed')
    if (isInside()) return false
    try {
      look ??= driver.open(file, { busyMs: 0, ...(setup === undefined ? {} : { setup }) })
      // In a file that is not in WAL yet readers are in the way of a commit as well; in WAL this is as `IMMEDIATE`.
      look.exec('BEGIN EXCLUSIVE')
    } catch (error) {
      if (error instanceof SqliteFailure && error.code === 'database_locked') return false
      throw error
    }
    look.exec('ROLLBACK')
    return true
  }

  const turn: Turn = async (work) => {
    let late = false
    let cancel: (() => void) | null = null
    let pause = FIRST_LOOK_MS
    try {
      for (let attempt = 0; ; attempt++) {
        const leave = enter === undefined ? null : await untilParting(enter(attempt), clock, signal)
        try {
          // Between a look that finds nobody and the work, nobody else of this process has a turn.
          if (isFree()) return work()
        } finally {
          await leave?.()
        }
        if (signal?.aborted === true) throw new TidemarkError('aborted')
        if (late) throw heldTooLong(waitMs)
        // A timer, for the wall clock may jump.
        cancel ??= clock.after(waitMs, () => {
          late = true
        })
        await sleep(clock, pause)
        pause = Math.min(pause * 2, LAST_LOOK_MS)
      }
    } finally {
      cancel?.()
    }
  }
  return {
    turn,
    [Symbol.dispose]() {
      closed = true
      look?.close()
      look = null
    },
  }
}

export const heldTooLong = (waitMs: number, cause?: unknown): TidemarkError =>
  new TidemarkError(
    'database_locked',
    `A transaction has held the database for ${Math.round(waitMs / 1_000)} s; a sync that is awaited inside a transaction cannot end`,
    { cause },
  )

/** What comes too late is left at once. */
async function untilParting(
  entering: Promise<() => Promise<void> | void>,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<() => Promise<void> | void> {
  if (signal === undefined) return entering
  const parting = Promise.withResolvers<never>()
  let cancel = () => {}
  const part = () => {
    cancel = clock.after(PARTING_MS, () => parting.reject(new TidemarkError('aborted')))
  }
  if (signal.aborted) part()
  else signal.addEventListener('abort', part, { once: true })
  try {
    return await Promise.race([entering, parting.promise])
  } catch (error) {
    entering.then(
      (leave) => leave(),
      () => {},
    )
    throw error
  } finally {
    signal.removeEventListener('abort', part)
    cancel()
  }
}
