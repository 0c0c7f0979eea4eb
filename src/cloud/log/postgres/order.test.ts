import { afterAll, beforeAll, test } from 'vitest'

import { MOVED_CHECKS } from '../../../../test/postgres/log-checks/moved.ts'
import { ORDER_CHECKS, PLAIN_CHECKS } from '../../../../test/postgres/log-checks/order.ts'
import { TOGETHER_CHECKS } from '../../../../test/postgres/log-checks/together.ts'
import { openLogNodes, type LogNodes } from '../../../../test/postgres/log-nodes.ts'

let nodes: LogNodes
beforeAll(async () => void (nodes = await openLogNodes()))
afterAll(() => nodes[Symbol.asyncDispose]())

for (const [name, check] of Object.entries({
  ...MOVED_CHECKS,
  ...ORDER_CHECKS,
  ...PLAIN_CHECKS,
  ...TOGETHER_CHECKS,
})) {
  test(name, async () => {
    await using own = await openLogNodes(nodes)
    await check(own, await own.space())
  })
}
