import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test, vi } from 'vitest'

import { systemClock } from '../../kernel/clock.ts'
import { systemRandom } from '../../kernel/random.ts'
import { openAgents } from './agents.ts'
import { agentHandlers } from './handlers.ts'

const SESSION_FILTERS = [
  [{}, 'sessions_by_archived'],
  [{ archived: 'all' }, 'sessions_by_time'],
  [{ archived: 'true' }, 'sessions_by_archived'],
  [{ source: 'x' }, 'sessions_by_source'],
  [{ status: 'x' }, 'sessions_by_status'],
  [{ project: 'x' }, 'sessions_by_project'],
  [{ parent_id: 'x' }, 'sessions_by_parent'],
  [{ since: 5 }, 'sessions_by_archived'],
  [{ project: 'x', source: 'x', status: 'x', archived: 'true' }, 'sessions_by_project'],
  [
    { source: 'x', status: 'x', project: 'x', parent_id: 'x', archived: 'true', since: 5 },
    'sessions_by_parent',
  ],
] as const

test('every list, from its beginning or a place in it, is a stretch of one index', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-lists-'))
  using agents = openAgents({ file: join(folder, 'agents.db'), clock: systemClock, random: systemRandom })
  const api = agentHandlers(agents, systemClock)
  const request = { signal: new AbortController().signal, lastEventId: undefined, body: undefined }
  // Two rows of each list, so that there is a second page.
  const rows = [{ id: 'a' }, { id: 'b' }]
  agents.upsertSession({ id: 'x', source: 'x', status: 'x', project_path: 'x', parent_id: 'x' })
  const session = { source: 'x', status: 'x', project_path: 'x', parent_id: 'x' }
  agents.upsertSession({ id: 'y', ...session, archived_at: 1, updated_at: 6 })
  agents.upsertSession({ id: 'z', ...session, archived_at: 1, updated_at: 7 })
  agents.upsertSession({ id: 'w', ...session })
  const body = { messages: rows, tool_calls: rows, session_errors: rows, compactions: rows }
  for (const add of [api.createMessages, api.createToolCalls, api.createSessionErrors, api.createCompactions])
    await add({ ...request, id: 'x', query: undefined, body })
  const own = rows.map((row) => ({ ...row, session_id: 'x', project_path: 'x' }))
  await api.createNotifications({ ...request, id: undefined, query: undefined, body: { notifications: own } })
  await api.createProjects({ ...request, id: undefined, query: undefined, body: { projects: rows } })
  await api.createMemories({ ...request, id: undefined, query: undefined, body: { memories: own } })

  const of = { ...request, id: 'x' }
  const all = { ...request, id: undefined }
  type Place = { readonly cursor?: string }
  type List = (place: Place) => Promise<{ readonly next: string | null }> | { readonly next: string | null }
  const lists: readonly (readonly [List, string])[] = [
    ...SESSION_FILTERS.map(([query, index]): [List, string] => [
      (place) => api.listSessions({ ...all, query: { ...query, limit: 1, ...place } }),
      index,
    ]),
    [(place) => api.listMessages({ ...of, query: { limit: 1, ...place } }), 'messages_by_session'],
    [(place) => api.listToolCalls({ ...of, query: { limit: 1, ...place } }), 'tool_calls_by_session'],
    [(place) => api.listSessionErrors({ ...of, query: { limit: 1, ...place } }), 'session_errors_by_session'],
    [(place) => api.listCompactions({ ...of, query: { limit: 1, ...place } }), 'compactions_by_session'],
    [(place) => api.listProjects({ ...all, query: { limit: 1, ...place } }), 'projects_by_time'],
    [(place) => api.listNotifications({ ...all, query: { limit: 1, ...place } }), 'notifications_by_time'],
    [
      (place) => api.listNotifications({ ...all, query: { limit: 1, unread: 'true', ...place } }),
      'notifications_unread',
    ],
    [
      (place) => api.listNotifications({ ...all, query: { limit: 1, session_id: 'x', ...place } }),
      'notifications_by_session',
    ],
    [(place) => api.listMemories({ ...all, query: { limit: 1, ...place } }), 'memories_by_time'],
    [
      (place) => api.listMemories({ ...all, query: { limit: 1, project: 'x', ...place } }),
      'memories_by_project',
    ],
  ]
  for (const [list, index] of lists) {
    const prepare = vi.spyOn(agents.database, 'prepare')
    const { next } = await list({})
    expect([index, next]).toEqual([index, expect.any(String)])
    await list({ cursor: next ?? '' })
    const asked = prepare.mock.calls.map(([sql]) => sql).filter((sql) => sql.includes('ORDER BY'))
    prepare.mockRestore()
    for (const sql of asked) {
      const explain = agents.database.prepare<unknown[], { readonly detail: string }>(
        `EXPLAIN QUERY PLAN ${sql}`,
      )
      const plan = explain.all(...(sql.match(/\?/g) ?? []).map(() => 1)).map(({ detail }) => detail)
      const search = new RegExp(`^SEARCH \\w+ USING INDEX ${index} \\(.*<expr>[<>=]`)
      expect([sql, plan]).toEqual([sql, [expect.stringMatching(search)]])
    }
  }
  rmSync(folder, { recursive: true, force: true })
})
