import fc from 'fast-check'
import { describe, expect, expectTypeOf, it } from 'vitest'

import { resolveConflict, type Conflict, type NamedResolver } from '../engine/resolvers.ts'
import { encodeBytes, encodeInt, encodeReal, type Fields } from '../kernel/values.ts'
import { toSyncConflict } from './conflict.ts'
import {
  ConflictResolverFactory,
  ConflictResolvers,
  notificationResolver,
  toEngineResolver,
  type ConflictResolver,
} from './resolvers.ts'

const T = 1_767_225_600_000_000

/** Local values against remote ones, the local side changed at `T + localAt`, the remote at `T`. */
function conflictOf(local: Fields, remote: Fields, localAt = 0, more: Partial<Conflict> = {}): Conflict {
  const columns = Object.keys(local)
  return {
    kind: 'field',
    table: 'items',
    key: '["a"]',
    columns,
    local: { id: 'a', ...local },
    remote: { id: 'a', ...remote },
    localAt: T + localAt,
    remoteTimes: Object.fromEntries(columns.map((column) => [column, T])),
    remoteBy: 'other',
    ...more,
  }
}

const decide = (resolver: ConflictResolver, conflict: Conflict) =>
  decideBy(toEngineResolver(resolver, 'self'), conflict)
const decideBy = async (resolver: NamedResolver, conflict: Conflict) =>
  (await resolveConflict(conflict, resolver)).resolution

describe('the conflict that a resolver sees', () => {
  it('has plain values, the key, and times that keep the order of the hybrid clock', () => {
    const given = conflictOf(
      { big: encodeInt(2n ** 60n), bytes: encodeBytes(new Uint8Array([1])), n: 5 },
      { big: 1, bytes: null, n: 6 },
      1,
      { key: '["a",2]' },
    )
    const seen = toSyncConflict(given)
    expect(seen).toMatchObject({ entityType: 'items', entityId: ['a', 2], fields: ['big', 'bytes', 'n'] })
    expect(seen.localData).toEqual({ id: 'a', big: 2n ** 60n, bytes: new Uint8Array([1]), n: 5 })
    expect(seen.localTimestamp).toBeGreaterThan(seen.remoteTimestamp)
    expect(Math.floor(seen.localTimestamp)).toBe(T / 1_000)
    expect(toSyncConflict(conflictOf({ n: 1 }, { n: 2 })).entityId).toBe('a')
  })

  it('orders any two times of the hybrid clock as the clock does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), fc.nat(999), fc.nat(999), (ms, one, two) => {
        const [localAt, remoteAt] = [ms * 1_000 + one, ms * 1_000 + two]
        const seen = toSyncConflict(
          conflictOf({ n: 1 }, { n: 2 }, 0, { localAt, remoteTimes: { n: remoteAt } }),
        )
        expect(Math.sign(seen.localTimestamp - seen.remoteTimestamp)).toBe(Math.sign(localAt - remoteAt))
      }),
    )
  })
})

describe('the plain strategies', () => {
  const older = conflictOf({ n: 1 }, { n: 2 }, -1)
  const newer = conflictOf({ n: 1 }, { n: 2 }, 1)

  it('are the engine’s own when they are given to a sync', () => {
    const { newestWins, localWins, remoteWins } = ConflictResolvers
    expect([newestWins, localWins, remoteWins].map((one) => toEngineResolver(one, 'self').name)).toEqual([
      'newestWins',
      'localWins',
      'remoteWins',
    ])
  })

  it('choose a side', async () => {
    expect(await decide(ConflictResolvers.newestWins, older)).toEqual({ n: 2 })
    expect(await decide(ConflictResolvers.newestWins, newer)).toEqual({ n: 1 })
    expect(await decide(ConflictResolvers.localWins, older)).toBe('local')
    expect(await decide(ConflictResolvers.remoteWins, newer)).toBe('remote')
    expect(ConflictResolvers.newestWins(toSyncConflict(newer))).toBe('local')
  })
})

describe('resolvers for kinds of entity', () => {
  const notification = ConflictResolverFactory.createNotificationResolver()
  const project = ConflictResolverFactory.createProjectResolver()
  const settings = ConflictResolverFactory.createSettingsResolver({ keepLocal: ['window'] })
  const cases: readonly (readonly [
    what: string,
    resolver: ConflictResolver,
    local: Fields,
    remote: Fields,
    chosen: Fields,
  ])[] = [
    // The remote side is newer in all of them.
    ['read stays read', notification, { status: 'read' }, { status: 'unread' }, { status: 'read' }],
    [
      'dismissed is past read',
      notification,
      { status: 'read' },
      { status: 'dismissed' },
      { status: 'dismissed' },
    ],
    ['words it does not know', notification, { status: 'a' }, { status: 'b' }, { status: 'b' }],
    ['a flag stays set', notification, { is_read: 1 }, { is_read: 0 }, { is_read: 1 }],
    ['the first moment', notification, { read_at: 5 }, { read_at: 9 }, { read_at: 5 }],
    ['a moment against none', notification, { readAt: null }, { readAt: 9 }, { readAt: 9 }],
    ['other columns', notification, { title: 'a' }, { title: 'b' }, { title: 'b' }],
    ['lists are united', project, { tags: '["a","b"]' }, { tags: '["b","c"]' }, { tags: '["a","b","c"]' }],
    [
      'created first, updated last',
      project,
      { created_at: '2026-01-02', updated_at: '2026-03-02' },
      { created_at: '2026-01-01', updated_at: '2026-03-01' },
      { created_at: '2026-01-01', updated_at: '2026-03-02' },
    ],
    ['no list on one side', project, { tags: '["a"]' }, { tags: 'none' }, { tags: 'none' }],
    [
      'objects are merged, at any depth',
      settings,
      { value: '{"a":1,"deep":{"x":1,"y":1}}' },
      { value: '{"b":2,"deep":{"y":2}}' },
      { value: '{"a":1,"deep":{"x":1,"y":2},"b":2}' },
    ],
    [
      'a key named __proto__',
      settings,
      { v: '{"__proto__":1}' },
      { v: '{"b":2}' },
      { v: '{"__proto__":1,"b":2}' },
    ],
    ['kept on this device', settings, { window: 'left' }, { window: 'right' }, { window: 'left' }],
    ['a plain setting', settings, { value: 'dark' }, { value: 'light' }, { value: 'light' }],
  ]
  it.each(cases)('%s', async (_what, resolver, local, remote, chosen) => {
    expect(await decide(resolver, conflictOf(local, remote, -1))).toEqual(chosen)
  })

  it('prefer this side where it is the newer one', async () => {
    expect(await decide(project, conflictOf({ title: 'a' }, { title: 'b' }, 1))).toEqual({ title: 'a' })
    const value = { value: '{"a":1}' }
    expect(await decide(settings, conflictOf(value, { value: '{"a":2}' }, 1))).toEqual({ value: '{"a":1}' })
  })

  it('answer the same on both sides', () => {
    const text = fc.constantFrom('unread', 'read', 'done', 'dismissed')
    fc.assert(
      fc.property(text, text, fc.boolean(), (here, there, localIsNewer) => {
        const [a, b] = [{ status: here }, { status: there }]
        const one = notificationResolver(toSyncConflict(conflictOf(a, b, localIsNewer ? 1 : -1)))
        const other = notificationResolver(toSyncConflict(conflictOf(b, a, localIsNewer ? -1 : 1)))
        expect(one).toEqual(other)
      }),
    )
  })
})

describe('a resolver of the application', () => {
  it('I10: keeps the exact form of values that it gives back as they were', async () => {
    const local = { real: encodeReal(1), n: 1 }
    const remote = { real: encodeReal(2), n: 2 }
    expect(await decide(({ remoteData }) => remoteData, conflictOf(local, remote))).toMatchObject(remote)
    expect(await decide(({ localData }) => localData, conflictOf(local, remote))).toMatchObject(local)
  })

  it('may answer booleans and buffers', async () => {
    const given = conflictOf({ done: 0, note: 'x' }, { done: 1, note: 'y' })
    expect(await decide(() => ({ done: true, note: Buffer.from('z') }), given)).toEqual({
      done: 1,
      note: encodeBytes(new Uint8Array([122])),
    })
  })

  it.each([
    ['a column that was forgotten', { n: undefined }],
    ['a value that SQLite has not', { n: { a: 1 } }],
    ['no number', { n: Number.NaN }],
    ['an integer past 64 bits', { n: 2n ** 64n }],
    ['a moment', { n: new Date(0) }],
    ['floats', { n: new Float32Array(1) }],
    ['something with a class', new Map([['n', 1]]) as unknown as { readonly n: number }],
  ])('I7: decides nothing with %s', async (_what, answer) => {
    const given = conflictOf({ n: 1 }, { n: 2 })
    const { resolution, fault } = await resolveConflict(
      given,
      toEngineResolver(() => answer, 'self'),
    )
    expect(resolution).toBe('wait')
    // It threw nothing, and is told what it answered.
    expect(fault).toMatch(/^SQLite has no such value as is given for n: |^a row is a plain object/)
  })

  it('decides by what it knows of the conflict, as in the origin', async () => {
    const customResolver: ConflictResolver<{ readonly notifications: { readonly status: string } }> = async (
      conflict,
    ) => {
      if (conflict.entityType === 'notifications') {
        // Prefer read status from local
        if (conflict.localData.status === 'read') return 'local'
      }
      // Default to newest
      return conflict.localTimestamp > conflict.remoteTimestamp ? 'local' : 'remote'
    }
    const resolver = toEngineResolver(customResolver, 'self')
    const notifications = { table: 'notifications' }
    const read = conflictOf({ status: 'read' }, { status: 'unread' }, -1, notifications)
    const unread = conflictOf({ status: 'unread' }, { status: 'read' }, -1, notifications)
    const newer = conflictOf({ status: 'unread' }, { status: 'read' }, 1, notifications)
    expect(await decideBy(resolver, read)).toBe('local')
    expect(await decideBy(resolver, unread)).toBe('remote')
    expect(await decideBy(resolver, newer)).toBe('local')
    expect(resolver.name).toBe('customResolver')
  })

  it('I9: decides nothing when it throws or answers something else', async () => {
    const given = conflictOf({ n: 1 }, { n: 2 })
    const wrong = [
      () => {
        throw new Error('secret')
      },
      () => 'both' as 'local',
      () => ({ absent: 1 }),
      () => ({ n: Symbol('x') }),
      () => null as unknown as 'local',
    ] as const
    for (const resolver of wrong) expect(await decide(resolver, given)).toBe('wait')
    expect(await decide(async () => 'remote' as const, given)).toBe('remote')
  })

  it('knows the rows of the application’s tables by their types', () => {
    interface Known {
      readonly [table: string]: object
      readonly notes: { readonly id: number; readonly title: string }
      readonly users: { readonly name: string }
    }
    type Only = { readonly [Table in 'notes' | 'users']: Known[Table] }
    const resolver: ConflictResolver<Only> = (conflict) => {
      if (conflict.entityType === 'notes') {
        expectTypeOf(conflict.localData.title).toEqualTypeOf<string>()
        expectTypeOf(conflict.fields).toEqualTypeOf<readonly ('id' | 'title')[]>()
        return { title: conflict.remoteData.title }
      }
      expectTypeOf(conflict.localData.name).toEqualTypeOf<string>()
      return 'local'
    }
    expect(resolver.name).toBe('resolver')
  })
})
