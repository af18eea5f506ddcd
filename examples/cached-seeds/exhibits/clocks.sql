INSERT INTO exhibit VALUES (1, 'Turret clock', 1623), (2, 'Marine chronometer', 1819);
