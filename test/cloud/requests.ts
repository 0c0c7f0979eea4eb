import type { PushRequest } from '../../src/protocol/push.ts'
import type { Change } from '../../src/protocol/records.ts'

/** A change that inserts a row. */
export const put = (
  id: number | string,
  fields: Change['fields'] = {},
  more: Partial<Change> = {},
): Change => ({
  table: 'city',
  key: JSON.stringify([id]),
  op: 'put',
  base: 0,
  hlc: 1_000,
  fields: { id, ...fields },
  ...more,
})

export const pushBody = (
  mutation: number,
  changes: readonly Change[],
  more: Partial<PushRequest> = {},
): PushRequest => ({
  space: 'main',
  replica: 'replica-a',
  mutation,
  cursor: null,
  changes: [...changes],
  ...more,
})
