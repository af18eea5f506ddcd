--
-- Data for Name: part; Type: TABLE DATA; Schema: public
--

SET client_encoding = 'UTF8';

COPY public.part (code, name, price, stock) FROM stdin;
CHN-9	Chain, 9-speed	18.50	4
PAD-2	Brake pads, pair	7.90	23
BB-68	Bottom bracket, 68 mm	24.00	2
TUB-28	Inner tube, 28"	4.50	61
\.
