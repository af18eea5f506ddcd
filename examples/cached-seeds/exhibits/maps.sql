INSERT INTO exhibit VALUES (3, 'Portolan chart', NULL);
