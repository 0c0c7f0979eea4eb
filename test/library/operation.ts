import type { Operation } from '../../src/library/retry-book.ts'

/** A row that was refused once, at this time; not in the book yet. */
export const makeOperation = (now: number, given: Partial<Operation> = {}): Operation => ({
  sequence: 0,
  table: 'notes',
  key: '["a"]',
  op: 'put',
  status: 'pending',
  failures: 1,
  entry: 'e1',
  code: 'unprocessable',
  message: 'why',
  firstAt: now,
  lastAt: now,
  nextAt: now + 15_000,
  completedAt: null,
  ...given,
})
