import { TidemarkError } from '../kernel/errors.ts'
import type { EngineOptions } from './options.ts'
import { takeNewIdentity } from './reset.ts'
import type { Work } from './work.ts'

/** What an engine has to know before its first cycle. */
interface Opened {
  readonly inFlight: boolean
  /** Which time between two ends it was read in. */
  readonly turn: number
}

/** The way from a stopped engine to its first cycle; whatever ends it meanwhile, nothing begins then. */
export class Opening {
  readonly #work: Work
  readonly #afterRestore: EngineOptions['afterRestore']
  #turn = 0
  #closed = false
  #reading: Promise<boolean> | null = null

  constructor(work: Work, afterRestore: EngineOptions['afterRestore']) {
    this.#work = work
    this.#afterRestore = afterRestore
  }

  /** Looks at the identity, once for all who start the engine at a time: it may change by it (I13). */
  async read(signal?: AbortSignal): Promise<Opened> {
    const turn = this.#turn
    this.confirm({ turn }, signal)
    this.#reading ??= this.#read().finally(() => (this.#reading = null))
    return { inFlight: await this.#reading, turn }
  }

  /** Throws `aborted` when an end, or the caller's signal, came since. */
  confirm({ turn }: Pick<Opened, 'turn'>, signal?: AbortSignal): void {
    if (this.#closed) throw new TidemarkError('aborted', 'the engine was closed')
    if (turn !== this.#turn) throw new TidemarkError('aborted', 'the engine was stopped')
    if (signal?.aborted === true) throw new TidemarkError('aborted')
  }

  /** From now on nothing begins that is on its way; `close`: and nothing ever. */
  end({ close }: { readonly close: boolean }): void {
    this.#turn++
    this.#closed ||= close
  }

  /** Nobody reads any more. */
  async rest(): Promise<void> {
    await this.#reading?.catch(() => {})
  }

  async #read(): Promise<boolean> {
    const { store, guard } = this.#work
    const { replica, mutation } = await store.state()
    const verdict = await guard.verdict(replica, mutation)
    if (verdict !== 'same') {
      // Before the identity: the verdict would not be the same again after a crash between the two.
      if (verdict === 'restored' && this.#afterRestore === 'overwrite') await store.startOverwrite()
      await takeNewIdentity(this.#work, verdict)
    }
    return (await store.state()).inFlight !== null
  }
}
