import { expect, it } from 'vitest'

import type { InboxEntry } from '../engine/inbox.ts'
import { readInboxFromNow } from './detected.ts'

/** An inbox of so many entries, numbered as they come. */
function createInbox(count: number) {
  const entries: InboxEntry[] = []
  const add = (more: number) => {
    for (let n = 0; n < more; n++) entries.unshift({ id: String(entries.length) } as InboxEntry)
  }
  add(count)
  return {
    add,
    store: {
      listInbox: async ({ limit = entries.length }: { readonly limit?: number }) => entries.slice(0, limit),
    },
  }
}

const ids = (entries: readonly InboxEntry[]) => entries.map(({ id }) => id)

it.each([0, 1, 15, 16, 100])('reads each entry that is new once, with %i before', async (before) => {
  const { store, add } = createInbox(before)
  const reader = await readInboxFromNow(store)
  expect(await reader.readNew()).toEqual([])
  let next = before
  for (const more of [1, 2, 16, 17, 300]) {
    add(more)
    const expected = Array.from({ length: more }, (_, at) => String(next + at))
    expect(ids(await reader.readNew())).toEqual(expected)
    expect(await reader.readNew()).toEqual([])
    next += more
  }
})
