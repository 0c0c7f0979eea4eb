import { createRouteTable } from '../../http/route-table.ts'
import { ROUTES } from '../../protocol/routes.ts'

/** Every route of the cloud. */
export const CLOUD_ROUTES = createRouteTable(Object.values(ROUTES))
