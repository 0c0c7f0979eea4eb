import { AsyncDisposableStack } from '../kernel/disposable-stack.ts'
import type { AppDatabase } from './database/database.ts'

/** Keeps the applications out, as far as that can be, until the answer is called. */
export async function enterAll(apps: readonly AppDatabase[], attempt: number): Promise<() => Promise<void>> {
  await using entered = new AsyncDisposableStack()
  let isHolding = false
  for (const { enter } of apps) {
    if (enter === undefined) continue
    entered.defer(await enter(attempt, isHolding))
    isHolding = true
  }
  const left = entered.move()
  return () => left.disposeAsync()
}
