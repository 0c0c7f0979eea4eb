import { describe, expect, test } from 'vitest'

import type { Directory, TokenInput } from '../cloud/directory.ts'

/** One storage of a directory under test, empty at first. */
export interface DirectoryHarness extends AsyncDisposable {
  readonly directory: Directory
  /** The time that the directory goes by, milliseconds; moves only when told. */
  readonly time: { now(): number; advance(ms: number): void }
  /** The same storage as another process sees it; null where there is no other process. */
  other(): Promise<Directory | null>
  /** Everything that is kept, as one text: no secret may stand in it. Null where nothing is kept. */
  dump(): Promise<string | null>
}

/** A visit is noted at least this often; a directory need not write for each request. */
const VISIT_MS = 120_000

/** What every storage of accounts, tokens and devices must do (`cloud/directory.ts`). */
export function directoryContract(name: string, open: () => Promise<DirectoryHarness>): void {
  const run = (what: string, body: (harness: DirectoryHarness) => Promise<void>): void => {
    test(what, async () => {
      await using harness = await open()
      await body(harness)
    })
  }
  const input = (more: Partial<TokenInput> = {}): TokenInput => ({
    account: 'acme',
    name: 'laptop',
    scopes: ['read', 'write'],
    spaces: null,
    defaultSpace: 'main',
    ...more,
  })

  describe(`directory contract: ${name}`, () => {
    run('I12: a token gives the grant it was made with, and nothing else does', async ({ directory }) => {
      const { token, info } = await directory.createToken(
        input({ spaces: ['one', 'two'], scopes: ['read'], device: 'd1' }),
      )
      expect(token).toMatch(/^tm_[A-Za-z0-9_-]{43}$/)
      expect(await directory.authenticate(token)).toEqual({
        tokenId: info.id,
        account: 'acme',
        scopes: ['read'],
        spaces: ['one', 'two'],
        defaultSpace: 'main',
        device: 'd1',
        deviceState: 'unknown',
      })
      for (const wrong of [
        '',
        'tm_',
        token.slice(0, -1),
        `${token}x`,
        token.toUpperCase(),
        ` ${token}`,
        'ü\0',
      ]) {
        expect(await directory.authenticate(wrong)).toBe('unknown')
      }
    })

    run('I12: narrow grants stay narrow', async ({ directory }) => {
      const none = await directory.createToken(input({ scopes: [], spaces: [] }))
      expect(await directory.authenticate(none.token)).toMatchObject({
        scopes: [],
        spaces: [],
        device: null,
        deviceState: null,
      })
      const all = await directory.createToken(input())
      expect(await directory.authenticate(all.token)).toMatchObject({
        scopes: ['read', 'write'],
        spaces: null,
      })
    })

    run('two tokens are never the same, and neither are their ids', async ({ directory }) => {
      const made = await Promise.all(Array.from({ length: 20 }, () => directory.createToken(input())))
      expect(new Set(made.map(({ token }) => token)).size).toBe(20)
      expect(new Set(made.map(({ info }) => info.id)).size).toBe(20)
    })

    run('a token tells of itself what it was made with, never its secret', async ({ directory, time }) => {
      const expiresAt = time.now() + 1_000
      const { token, info } = await directory.createToken(input({ device: 'd1', expiresAt }))
      expect(info).toEqual({
        ...input({ device: 'd1', expiresAt }),
        id: info.id,
        createdAt: time.now(),
        lastUsedAt: null,
        revokedAt: null,
      })
      const plain = await directory.createToken(input({ account: 'other' }))
      expect(plain.info).not.toHaveProperty('device')
      expect(plain.info).not.toHaveProperty('expiresAt')
      expect(await directory.listTokens()).toEqual([info, plain.info])
      expect(await directory.listTokens('other')).toEqual([plain.info])
      expect(await directory.listTokens('nobody')).toEqual([])
      expect(JSON.stringify([await directory.listTokens(), await directory.audit(9)])).not.toContain(token)
    })

    run('no secret is kept', async ({ directory, dump }) => {
      const { token } = await directory.createToken(input())
      await directory.authenticate(token)
      const kept = await dump()
      if (kept === null) return
      expect(kept).toContain('laptop')
      expect(kept).not.toContain(token.slice(3))
    })

    run('notes when a token was last used', async ({ directory, time }) => {
      const { token } = await directory.createToken(input())
      await directory.authenticate(token)
      expect((await directory.listTokens())[0]?.lastUsedAt).toBe(time.now())
      time.advance(VISIT_MS)
      await directory.authenticate(token)
      expect((await directory.listTokens())[0]?.lastUsedAt).toBe(time.now())
    })

    run('a revoked token stops at once, for good', async ({ directory, time }) => {
      const { token, info } = await directory.createToken(input())
      const kept = await directory.createToken(input())
      const revokedAt = time.now()
      expect(await directory.revokeToken(info.id)).toBe(true)
      expect(await directory.authenticate(token)).toBe('revoked')
      time.advance(5)
      expect(await directory.revokeToken(info.id)).toBe(true)
      expect(await directory.revokeToken('never')).toBe(false)
      expect((await directory.listTokens())[0]?.revokedAt).toBe(revokedAt)
      expect(await directory.authenticate(kept.token)).toMatchObject({ account: 'acme' })
    })

    run('a token expires when its time has come', async ({ directory, time }) => {
      const { token } = await directory.createToken(input({ expiresAt: time.now() + 10 }))
      time.advance(9)
      expect(await directory.authenticate(token)).toMatchObject({ account: 'acme' })
      time.advance(1)
      expect(await directory.authenticate(token)).toBe('expired')
    })

    run('a space belongs to one account; its name means nothing to another', async ({ directory }) => {
      expect(await directory.findSpace('acme', 'main')).toBeNull()
      const id = await directory.ensureSpace('acme', 'main')
      expect(await directory.ensureSpace('acme', 'main')).toBe(id)
      expect(await directory.findSpace('acme', 'main')).toBe(id)
      expect(await directory.findSpace('other', 'main')).toBeNull()
      const other = await directory.ensureSpace('other', 'main')
      expect(other).not.toBe(id)
      const second = await directory.ensureSpace('acme', 'archive')
      expect(await directory.listSpaces('acme')).toEqual([
        { account: 'acme', name: 'archive', id: second },
        { account: 'acme', name: 'main', id },
      ])
      expect(await directory.listSpaces()).toHaveLength(3)
      const raced = await Promise.all(Array.from({ length: 5 }, () => directory.ensureSpace('acme', 'raced')))
      expect(new Set(raced).size).toBe(1)
    })

    run('a device is registered, seen, renamed and listed', async ({ directory, time }) => {
      const created_at = time.now()
      const first = { id: 'd1', name: 'Laptop', platform: 'linux' }
      const registered = await directory.registerDevice('acme', first)
      expect(registered).toEqual({ ...first, created_at, last_seen_at: created_at })
      expect(registered).not.toHaveProperty('deregistered_at')
      expect(await directory.seeDevice('acme', 'd1')).toBe('active')
      expect(await directory.seeDevice('acme', 'd2')).toBe('unknown')
      expect(await directory.seeDevice('other', 'd1')).toBe('unknown')
      time.advance(VISIT_MS)
      await directory.seeDevice('acme', 'd1')
      const last_seen_at = time.now()
      const renamed = { ...first, name: 'Desk', created_at, last_seen_at }
      expect(await directory.renameDevice('acme', 'd1', 'Desk')).toEqual(renamed)
      expect(await directory.renameDevice('other', 'd1', 'Mine')).toBeNull()
      expect(await directory.listDevices('acme')).toEqual([renamed])
      expect(await directory.listDevices('other')).toEqual([])
      expect(await directory.registerDevice('acme', first)).toEqual({ ...first, created_at, last_seen_at })
    })

    run('who asks is the device of the token, else the one shown; both visits are noted', async (harness) => {
      const { directory, time } = harness
      const bound = await directory.createToken(input({ device: 'd1' }))
      const free = await directory.createToken(input())
      for (const id of ['d1', 'd2']) await directory.registerDevice('acme', { id, name: 'n', platform: 'p' })
      await directory.registerDevice('other', { id: 'd3', name: 'n', platform: 'p' })
      await directory.deregisterDevice('acme', 'd2')
      const ask = async (token: string, shown?: string) => {
        const answer = await directory.authenticate(token, shown)
        return typeof answer === 'string' ? answer : [answer.device, answer.deviceState]
      }
      time.advance(VISIT_MS)
      expect(await ask(bound.token)).toEqual(['d1', 'active'])
      expect(await ask(bound.token, 'd2')).toEqual(['d1', 'active'])
      expect(await ask(free.token)).toEqual([null, null])
      expect(await ask(free.token, 'd2')).toEqual([null, 'deregistered'])
      // I12: another account's device is nobody's.
      expect(await ask(free.token, 'd3')).toEqual([null, 'unknown'])
      const seen = (await directory.listDevices('acme')).map(({ id, last_seen_at }) => [id, last_seen_at])
      expect(seen).toEqual([
        ['d1', time.now()],
        ['d2', time.now() - VISIT_MS],
      ])
      expect((await directory.listTokens()).map(({ lastUsedAt }) => lastUsedAt)).toEqual([
        time.now(),
        time.now(),
      ])
      time.advance(VISIT_MS)
      expect(await ask(free.token, 'd1')).toEqual([null, 'active'])
      expect((await directory.listDevices('acme'))[0]).toMatchObject({ last_seen_at: time.now() })
    })

    run(
      'I12: the tokens of a deregistered device stop at once, and no others',
      async ({ directory, time }) => {
        const bound = await directory.createToken(input({ device: 'd1' }))
        const others = await Promise.all([
          directory.createToken(input()),
          directory.createToken(input({ device: 'd2' })),
          directory.createToken(input({ account: 'other', device: 'd1' })),
        ])
        await directory.registerDevice('acme', { id: 'd1', name: 'n', platform: 'p' })
        await directory.registerDevice('other', { id: 'd1', name: 'n', platform: 'p' })
        expect(await directory.deregisterDevice('acme', 'd9')).toBe(false)
        expect(await directory.deregisterDevice('acme', 'd1')).toBe(true)
        expect(await directory.authenticate(bound.token)).toBe('revoked')
        for (const { token } of others)
          expect(await directory.authenticate(token)).toMatchObject({ scopes: ['read', 'write'] })
        expect(await directory.seeDevice('acme', 'd1')).toBe('deregistered')
        expect(await directory.seeDevice('other', 'd1')).toBe('active')
        expect((await directory.listDevices('acme'))[0]).toMatchObject({ deregistered_at: time.now() })
        expect(await directory.deregisterDevice('acme', 'd1')).toBe(true)
      },
    )

    run(
      'a deregistered device that is registered again is active; its old tokens stay stopped',
      async ({ directory }) => {
        const { token } = await directory.createToken(input({ device: 'd1' }))
        await directory.registerDevice('acme', { id: 'd1', name: 'n', platform: 'p' })
        await directory.deregisterDevice('acme', 'd1')
        expect(
          await directory.registerDevice('acme', { id: 'd1', name: 'm', platform: 'p' }),
        ).not.toHaveProperty('deregistered_at')
        expect(await directory.seeDevice('acme', 'd1')).toBe('active')
        expect(await directory.authenticate(token)).toBe('revoked')
      },
    )

    run('what changes who may do what is written down, the newest first', async ({ directory, time }) => {
      const device = { id: 'd1', name: 'n', platform: 'p' }
      const { info } = await directory.createToken(input({ device: 'd1' }), 'one')
      time.advance(1)
      await directory.ensureSpace('acme', 'main', 'two')
      await directory.registerDevice('acme', device, 'three')
      await directory.registerDevice('acme', { ...device, name: 'o' }, 'four')
      await directory.registerDevice('acme', { ...device, name: 'o', platform: 'q' }, 'five')
      await directory.renameDevice('acme', 'd1', 'm', 'six')
      await directory.deregisterDevice('acme', 'd1', 'seven')
      await directory.registerDevice('acme', device, 'eight')
      const other = await directory.createToken(input())
      await directory.revokeToken(other.info.id, 'nine')
      const entries = await directory.audit(100)
      expect(entries.map(({ action, subject, by }) => [action, subject, by])).toEqual([
        ['token revoked', other.info.id, 'nine'],
        ['token created', other.info.id, null],
        ['device registered', 'd1', 'eight'],
        ['device deregistered', 'd1', 'seven'],
        ['token revoked', info.id, 'seven'],
        ['device renamed', 'd1', 'six'],
        ['device changed', 'd1', 'five'],
        ['device changed', 'd1', 'four'],
        ['device registered', 'd1', 'three'],
        ['space created', 'main', 'two'],
        ['token created', info.id, 'one'],
      ])
      expect(entries.every(({ account }) => account === 'acme')).toBe(true)
      expect(entries.at(-1)?.at).toBe(time.now() - 1)
      expect(await directory.audit(2)).toEqual(entries.slice(0, 2))
      expect(await directory.audit(0)).toEqual([])
    })

    run('what changes nothing is not written down', async ({ directory }) => {
      const device = { id: 'd1', name: 'n', platform: 'p' }
      const { token, info } = await directory.createToken(input({ device: 'd1' }))
      await directory.ensureSpace('acme', 'main')
      await directory.registerDevice('acme', device)
      await directory.deregisterDevice('acme', 'd1')
      const before = await directory.audit(100)
      await directory.ensureSpace('acme', 'main', 'x')
      await directory.deregisterDevice('acme', 'd1', 'x')
      await directory.deregisterDevice('acme', 'd9', 'x')
      await directory.renameDevice('acme', 'd9', 'n', 'x')
      await directory.revokeToken(info.id, 'x')
      await directory.revokeToken('never', 'x')
      await directory.authenticate(token)
      await directory.seeDevice('acme', 'd1')
      expect(await directory.audit(100)).toEqual(before)
      await directory.registerDevice('acme', device)
      const registered = await directory.audit(100)
      await directory.registerDevice('acme', device, 'x')
      await directory.seeDevice('acme', 'd1')
      expect(await directory.audit(100)).toEqual(registered)
    })

    run('names may hold any text', async ({ directory }) => {
      const odd = `o'; DROP TABLE x; -- "ü😀,\\`
      const made = await directory.createToken(
        input({ account: odd, name: odd, spaces: [odd], defaultSpace: odd }),
      )
      expect(await directory.authenticate(made.token)).toMatchObject({ account: odd, spaces: [odd] })
      const id = await directory.ensureSpace(odd, odd)
      expect(await directory.listSpaces(odd)).toEqual([{ account: odd, name: odd, id }])
    })

    run(
      'names that no storage holds whole are refused, and nothing is found by them',
      async ({ directory }) => {
        const device = { id: 'd', name: 'n', platform: 'p' }
        for (const bad of ['a\0', '\ud800', 'x'.repeat(513)]) {
          const refused = [
            directory.createToken(input({ account: bad })),
            directory.createToken(input({ name: bad })),
            directory.createToken(input({ defaultSpace: bad })),
            directory.createToken(input({ spaces: ['s', bad] })),
            directory.createToken(input({ device: bad })),
            directory.ensureSpace(bad, 's'),
            directory.ensureSpace('acme', bad),
            directory.registerDevice(bad, device),
            directory.registerDevice('acme', { ...device, id: bad }),
            directory.registerDevice('acme', { ...device, name: bad }),
            directory.registerDevice('acme', { ...device, platform: bad }),
            directory.renameDevice('acme', 'd', bad),
          ]
          for (const one of refused) await expect(one).rejects.toMatchObject({ code: 'bad_usage' })
          expect(await directory.findSpace(bad, bad)).toBeNull()
          expect(await directory.listTokens(bad)).toEqual([])
          expect(await directory.listSpaces(bad)).toEqual([])
          expect(await directory.listDevices(bad)).toEqual([])
          expect(await directory.revokeToken(bad)).toBe(false)
          expect(await directory.seeDevice(bad, bad)).toBe('unknown')
          expect(await directory.deregisterDevice(bad, bad)).toBe(false)
          expect(await directory.authenticate(bad, bad)).toBe('unknown')
        }
        expect([
          await directory.listTokens(),
          await directory.listSpaces(),
          await directory.audit(9),
        ]).toEqual([[], [], []])
      },
    )

    run('names may be as long as they may, in any script', async ({ directory }) => {
      const account = '\uffee'.repeat(512)
      const [space, id] = ['\uffee'.repeat(128), '\uffee'.repeat(64)]
      const { token } = await directory.createToken(
        input({ account, name: account, spaces: [space], defaultSpace: space, device: id }),
      )
      const made = await directory.ensureSpace(account, space)
      expect(await directory.findSpace(account, space)).toBe(made)
      await directory.registerDevice(account, { id, name: account, platform: account })
      expect(await directory.authenticate(token)).toMatchObject({ account, deviceState: 'active' })
      expect(await directory.deregisterDevice(account, id)).toBe(true)
      expect((await directory.audit(9)).map(({ subject }) => subject)).toContain(space)
    })

    run('what another process does takes effect at once', async ({ directory, other }) => {
      const beside = await other()
      if (beside === null) return
      const { token, info } = await beside.createToken(input())
      expect(await directory.authenticate(token)).toMatchObject({ tokenId: info.id })
      const id = await directory.ensureSpace('acme', 'main')
      expect(await beside.ensureSpace('acme', 'main')).toBe(id)
      await beside.revokeToken(info.id)
      expect(await directory.authenticate(token)).toBe('revoked')
      await directory.registerDevice('acme', { id: 'd1', name: 'n', platform: 'p' })
      await beside.deregisterDevice('acme', 'd1')
      expect(await directory.seeDevice('acme', 'd1')).toBe('deregistered')
    })
  })
}
