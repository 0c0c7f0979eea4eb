import { expect, test } from 'vitest'

import { pushBody, put } from '../../../test/cloud/requests.ts'
import { openTestCloud } from '../../../test/cloud/test-cloud.ts'

test('I12: what a request changes stands in the audit under its token', async () => {
  await using cloud = await openTestCloud()
  const { token, id } = await cloud.makeToken()
  const device = { id: 'phone', name: 'Phone', platform: 'x' }
  const cursor = { epoch: 'e', generation: 'g', version: 0, high: 0 }
  const requests = [
    { route: 'push', body: pushBody(1, [put(1)], { space: 'pushed' }) },
    { route: 'putSchema', body: { space: 'told', replica: 'r', tables: [] } },
    { route: 'pull', body: { space: 'pulled', replica: 'r', cursor }, fails: 'lost_history' },
    { route: 'hydrate', query: { space: 'read', replica: 'r' } },
    { route: 'batch', body: { logs: [{ id: 1 }] } },
    { route: 'registerDevice', body: device },
    { route: 'renameDevice', id: 'phone', body: { name: 'Mobile' } },
    { route: 'deregisterDevice', id: 'phone' },
  ] as const
  const before = (await cloud.directory.audit(100)).length
  for (const { fails, body, ...request } of requests.map((one) => ({
    fails: null,
    body: undefined,
    ...one,
  }))) {
    const answer = cloud.handler.handle({ ...request, token, body: JSON.stringify(body) })
    if (fails === null) await answer
    else await expect(answer).rejects.toMatchObject({ code: fails })
  }
  const entries = (await cloud.directory.audit(100)).toReversed().slice(before)
  expect(entries.map(({ action }) => action)).toEqual([
    ...Array.from({ length: 5 }, () => 'space created'),
    'device registered',
    'token created',
    'device renamed',
    'token revoked',
    'device deregistered',
  ])
  expect(entries.map(({ by }) => by)).toEqual(entries.map(() => id))
})
