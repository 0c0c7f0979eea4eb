import { busContract } from '../../testing/bus-contract.ts'
import { MemoryBus } from './memory.ts'

busContract('memory', async () => {
  const bus = new MemoryBus()
  return { join: async () => bus.join(), loss: null, async [Symbol.asyncDispose]() {} }
})
