import { describe, expect, test } from 'vitest'

import { AsyncDisposableStack } from './disposable-stack.ts'

type Stack = Pick<
  AsyncDisposableStack,
  'use' | 'adopt' | 'defer' | 'disposeAsync' | typeof Symbol.asyncDispose
> & { move(): Stack }

/** The native class is the measure, where there is one. */
const native = (globalThis as { AsyncDisposableStack?: new () => Stack }).AsyncDisposableStack
const classes: readonly (readonly [name: string, make: () => Stack])[] = [
  ['of the kernel', () => new AsyncDisposableStack()],
  ...(native === undefined ? [] : [['of the language', () => new native()] as const]),
]

describe.each(classes)('the stack %s', (_name, make) => {
  const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  test('disposes in the opposite order, one after another', async () => {
    const log: string[] = []
    const stack = make()
    const used = {
      async [Symbol.asyncDispose]() {
        log.push(`used begins ${this === used}`)
        await later()
        log.push('used ends')
      },
      [Symbol.dispose]: () => log.push('never: the asynchronous method goes before'),
    }
    const atOnce = {
      [Symbol.dispose]() {
        log.push(`at once ${this === atOnce}`)
        // A promise of a method that is not asynchronous is not waited for.
        return new Promise<void>(() => {})
      },
    }
    expect(stack.use(used)).toBe(used)
    expect(stack.use(atOnce)).toBe(atOnce)
    expect(stack.adopt(7, async (value) => void log.push(`adopted ${value}`))).toBe(7)
    expect(stack.use(null)).toBe(null)
    // oxlint-disable-next-line unicorn/no-useless-undefined
    expect(stack.use(undefined)).toBe(undefined)
    stack.defer(async () => {
      log.push('deferred begins')
      await later()
      log.push('deferred ends')
    })
    expect(log).toEqual([])
    await stack.disposeAsync()
    expect(log).toEqual([
      'deferred begins',
      'deferred ends',
      'adopted 7',
      'at once true',
      'used begins true',
      'used ends',
    ])
  })

  test('the method is the one of the time when the value was added', async () => {
    const log: string[] = []
    const value = { [Symbol.asyncDispose]: async () => void log.push('first') }
    const stack = make()
    stack.use(value)
    value[Symbol.asyncDispose] = async () => void log.push('second')
    await stack.disposeAsync()
    expect(log).toEqual(['first'])
  })

  test('refuses what cannot be disposed of, and keeps the others', async () => {
    const log: string[] = []
    const stack = make()
    stack.defer(() => void log.push('kept'))
    const values = [
      {},
      1,
      'x',
      { [Symbol.asyncDispose]: 1 },
      { [Symbol.dispose]: {} },
      { [Symbol.asyncDispose]: 1, [Symbol.dispose]: () => {} },
    ]
    for (const value of values) {
      expect(() => stack.use(value as unknown as Disposable)).toThrow(TypeError)
    }
    await stack.disposeAsync()
    expect(log).toEqual(['kept'])
  })

  test('goes on after what throws, and rejects with every error', async () => {
    const log: string[] = []
    const stack = make()
    const fail = (name: string) => {
      log.push(name)
      throw new Error(name)
    }
    stack.defer(async () => fail('a'))
    stack.defer(() => void log.push('b'))
    stack.defer(() => fail('c'))
    stack.defer(() => Promise.reject(new Error('d')))
    const error: unknown = await stack.disposeAsync().catch((thrown: unknown) => thrown)
    expect(log).toEqual(['c', 'b', 'a'])
    expect(error).toMatchObject({
      name: 'SuppressedError',
      error: { message: 'a' },
      suppressed: { name: 'SuppressedError', error: { message: 'c' }, suppressed: { message: 'd' } },
    })
  })

  test('rejects with a single error as it is', async () => {
    const stack = make()
    const error = new Error('alone')
    stack.defer(() => {
      throw error
    })
    stack.defer(() => {})
    await expect(stack.disposeAsync()).rejects.toBe(error)
  })

  test('disposes once only, and takes nothing after', async () => {
    const log: string[] = []
    const stack = make()
    stack.defer(() => void log.push('once'))
    const first = stack.disposeAsync()
    expect(() => stack.defer(() => {})).toThrow(ReferenceError)
    await first
    await stack.disposeAsync()
    await stack[Symbol.asyncDispose]()
    expect(() => stack.use(null)).toThrow(ReferenceError)
    expect(() => stack.adopt(1, () => {})).toThrow(ReferenceError)
    expect(() => stack.move()).toThrow(ReferenceError)
    expect(log).toEqual(['once'])
  })

  test('hands on what it holds', async () => {
    const log: string[] = []
    let moved: Stack
    {
      await using stack = make()
      stack.defer(() => void log.push('late'))
      moved = stack.move()
      expect(moved).not.toBe(stack)
      expect(() => stack.defer(() => {})).toThrow(ReferenceError)
    }
    expect(log).toEqual([])
    moved.defer(() => void log.push('added'))
    await moved.disposeAsync()
    expect(log).toEqual(['added', 'late'])
  })

  test('is disposed of at the end of a block, also of one that throws', async () => {
    const log: string[] = []
    const run = async () => {
      await using stack = make()
      stack.defer(() => void log.push('block'))
      throw new Error('inside')
    }
    await expect(run()).rejects.toThrow('inside')
    expect(log).toEqual(['block'])
  })
})
