import { describeMatrix } from './cells.ts';

describeMatrix('bucket');
