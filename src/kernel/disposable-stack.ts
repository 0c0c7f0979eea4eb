type Release = () => PromiseLike<void> | void

/**
 * The language's stack of things to dispose of, which the oldest Node that package.json allows does not have yet (nor
 * the other class, without `Async`): with the native name, order and errors, and the methods that are used here.
 */
export class AsyncDisposableStack implements AsyncDisposable {
  /** Null once they were disposed of or moved. */
  #releases: Release[] | null = []

  /** Adds what knows how it is disposed of; an absent value is only handed back. Throws a TypeError for any other. */
  use<T extends AsyncDisposable | Disposable | null | undefined>(value: T): T {
    this.#add(value === null || value === undefined ? () => {} : releaseOf(value))
    return value
  }

  /** Adds what does not know it. */
  adopt<T>(value: T, onDisposeAsync: (value: T) => PromiseLike<void> | void): T {
    this.#add(() => onDisposeAsync(value))
    return value
  }

  defer(onDisposeAsync: Release): void {
    this.#add(onDisposeAsync)
  }

  /** A new stack with all that this one held. This one is as if disposed of, and will dispose of nothing. */
  move(): AsyncDisposableStack {
    const moved = new AsyncDisposableStack()
    moved.#releases = this.#held()
    this.#releases = null
    return moved
  }

  /**
   * Disposes of each, the last added first, one after another, whatever the others throw. Rejects with their error, or
   * with a `SuppressedError` of the last (`error`) and those before (`suppressed`). A second call does nothing.
   */
  async disposeAsync(): Promise<void> {
    const releases = this.#releases ?? []
    this.#releases = null
    await releaseFrom(0, releases)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.disposeAsync()
  }

  #add(release: Release): void {
    this.#held().push(release)
  }

  #held(): Release[] {
    if (this.#releases === null) throw new ReferenceError('The stack was disposed of or moved already')
    return this.#releases
  }
}

function releaseOf(value: AsyncDisposable | Disposable): Release {
  const ways: Partial<AsyncDisposable & Disposable> = value
  const whenDone: unknown = ways[Symbol.asyncDispose]
  const method = whenDone ?? ways[Symbol.dispose]
  if (typeof method !== 'function') throw new TypeError('The value has no method to dispose of it')
  return async () => {
    const done: unknown = method.call(value)
    // What the method that is not asynchronous returns is not waited for.
    if (method === whenDone) await done
  }
}

/** Blocks within blocks: the order and the errors of `await using` are the language's own. */
async function releaseFrom(index: number, releases: readonly Release[]): Promise<void> {
  const release = releases[index]
  if (release === undefined) return
  await using _ = { [Symbol.asyncDispose]: async () => release() }
  await releaseFrom(index + 1, releases)
}
