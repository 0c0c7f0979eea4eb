import type { Store } from '../src/engine/store.ts'

/**
 * The same store, with a moment before and after each method at which the process may die or anything else may
 * happen.
 */
export function stepStore(store: Store, step: (label: string) => Promise<void>): Store {
  const stepped = new Map<PropertyKey, unknown>()
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (typeof name !== 'string' || name === 'watch') return value.bind(target) as unknown
      const known = stepped.get(name)
      if (known !== undefined) return known
      const method = async (...parameters: unknown[]): Promise<unknown> => {
        await step(`store.${name}`)
        const result: unknown = await Reflect.apply(value, target, parameters)
        await step(`store.${name} done`)
        return result
      }
      stepped.set(name, method)
      return method
    },
  })
}
