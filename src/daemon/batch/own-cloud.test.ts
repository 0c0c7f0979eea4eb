import { expect, test } from 'vitest'

import { openBatchRig } from '../../../test/daemon/batch-rig.ts'
import { serveTestCloud } from '../../../test/cloud/test-cloud.ts'

test('our own cloud takes it: the newer row stands, and one that it has newer is told as not counted', async () => {
  await using cloud = await serveTestCloud()
  await using rig = openBatchRig()
  rig.fill(120, 5)
  rig.program.exec("UPDATE sessions SET title = 'first', updated_at = 2000000000000 WHERE id = 's007'")
  const sync = rig.start(cloud.url, { token: cloud.token })
  expect(await sync.syncNow()).toEqual({ pushed: 125 })
  const read = async (table: string, key: string) => {
    const response = await fetch(`${cloud.url}/sync/read`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${cloud.token}` },
      body: JSON.stringify({ space: 'main', records: [{ table, key }] }),
    })
    const { records } = (await response.json()) as {
      readonly records: readonly { readonly fields: object }[]
    }
    return records[0]?.fields
  }
  expect(await read('sessions', '["s007"]')).toMatchObject({ id: 's007', title: 'first', archived_at: null })
  expect(await read('messages', '["m004"]')).toMatchObject({ id: 'm004', text: null })
  rig.program.exec("UPDATE sessions SET title = 'older', updated_at = 1000000000000 WHERE id = 's007'")
  expect(await sync.syncNow()).toEqual({ pushed: 1 })
  expect(sync.status().uncounted).toBe(1)
  expect(await read('sessions', '["s007"]')).toMatchObject({ title: 'first' })
  // A token that is none is said, and shown to nobody.
  const refused = rig.start(cloud.url, { token: 'hidden' })
  rig.program.exec("INSERT INTO sessions (id) VALUES ('new')")
  await expect(refused.syncNow()).rejects.toMatchObject({ code: 'unauthorized' })
  expect(refused.status().reason).not.toContain('hidden')
})
